/** URLs and sealed keys for a restoring agent: of what its backup uses, and nothing else. PROTOCOL.md, "packs.request". */
import { fail } from '#shared/errors.ts'
import { openHeader } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import type { Order, Orders } from '#shared/protocol/orders.ts'
import { sealedFor } from '#shared/protocol/open-request.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import { sealerTo } from '#shared/seal.ts'
import type { Link } from '../../ports.ts'
import type { CommittedBackup, PackObject, VaultIdentities } from '../../ports/reading.ts'
import type { RestoreScope } from '../../ports/restores.ts'
import { type AgentParts, freshId } from '../agent-parts.ts'
import { signedGet } from '../signed-get.ts'
import { committedOf, heldRestore } from './restore-scope.ts'

type Asked = { readonly scope: RestoreScope; readonly committed: CommittedBackup }

/** In the order of the request. `MISSING_OBJECT` for the first that is not of this backup. */
const rowsOf = async (
  parts: AgentParts,
  { committed }: Asked,
  nos: readonly number[],
): Promise<readonly PackObject[]> => {
  const found = await parts.reading.packsAmong(committed, nos)
  const rows = new Map(found.map((row) => [row.no, row]))
  return nos.map((no) => {
    const row = rows.get(no)
    if (row === undefined) throw fail('MISSING_OBJECT', { key: `of number ${no} in this backup` })
    return row
  })
}

type Keys = (row: PackObject) => Uint8Array

const opened = (
  { header, key, fileKey }: PackObject,
  identity: VaultIdentities['list'],
): Uint8Array => fileKey ?? openHeader(header, [identity], `the object ${key}`)

/** Sealed to the agent's key: opened here, or as whoever holds the customer's key has given them. */
const keysFor = async (
  parts: AgentParts,
  { scope, committed }: Asked,
  rows: readonly PackObject[],
): Promise<Keys> => {
  const { list, content } = await parts.identities(committed.vault)
  const { openRequest, boxKey } = scope
  if (boxKey === null)
    throw fail('INVALID_STATE', { resource: 'The server', status: 'not enrolled' })
  const seal = sealerTo(boxKey, parts.random(32))
  const packs = rows.filter((row) => row.class === 'pack').map(({ no }) => no)
  const given =
    openRequest === null || packs.length === 0
      ? null
      : await parts.openRequests.sealedKeys(openRequest, packs)
  const opening = openRequest ?? scope.restore
  return (row) => {
    const purpose = sealedFor.object(opening, row.no)
    if (row.class === 'tree') return seal(opened(row, list), purpose)
    const known = given?.get(row.no)
    if (known !== undefined) return known
    if (given !== null || content === null)
      throw fail('KEY_REQUIRED', { problem: `pack ${row.no} is not among those that were opened` })
    return seal(opened(row, content), purpose)
  }
}

export const openPacks = async (
  parts: AgentParts,
  link: Link,
  report: Reports['packs.request'],
): Promise<Order> => {
  const scope = await heldRestore(parts, link, report)
  const asked = { scope, committed: await committedOf(parts, scope) }
  const nos = [...new Set(report.packs)]
  const rows = await rowsOf(parts, asked, nos)
  const keyOf = await keysFor(parts, asked, rows)
  const store = await parts.stores.open(asked.committed.storage)
  const packs: Orders['packs.opened']['packs'] = rows.map((row) => ({
    no: row.no,
    key: row.key,
    size: row.size,
    ...signedGet(parts, store, row.key),
    header: toBase64url(row.header),
    sealed_file_key: toBase64url(keyOf(row)),
  }))
  return { type: 'packs.opened', id: freshId(parts), re: report.id, run: report.run, packs }
}
