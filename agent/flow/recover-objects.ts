/** The objects that a backup needs, by its signed record: those of its pack table, and those that hold fence and table. */
import { fail, Failure, hasCode } from '#shared/errors.ts'
import { NONCE, openHeader, parseHeader } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { readFence } from '#shared/format/fence.ts'
import { type Identity, sha256 } from '#shared/format/keys.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { FullLocator, PackNo } from '#shared/format/locator.ts'
import { type PackRow, readPackTable } from '#shared/format/pack-table.ts'
import type { RecordBody } from '#shared/format/record.ts'
import type { RecoverObject } from '#shared/protocol/recovery.ts'
import { checkKey, factsOf, type ObjectReader, twice } from '#shared/read/object.ts'
import { KiB } from '#shared/units.ts'
import type { ObjectSource } from '../core/restore-ports.ts'

const rowOf = (locator: FullLocator): PackRow => ({
  pack: locator[0],
  key: locator[6],
  size: locator[7],
  sha256: locator[8],
  headerHash: locator[9],
})

type Node = { readonly locator: FullLocator; readonly level: number | null }
type Below = { readonly level: number; readonly children: readonly FullLocator[] }

/** Every segment above the leaves is read; `leaf` says whether those are as well. */
async function* nodesOf(
  objects: ObjectReader,
  root: FullLocator,
  below: (bytes: Uint8Array) => Below,
): AsyncGenerator<FullLocator, void, void> {
  const waiting: Node[] = [{ locator: root, level: null }]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const { locator, level } = node
    yield locator
    if (level === 0) continue
    const found = below(await objects.segment(factsOf(locator), locator))
    if (level !== null && found.level !== level)
      throw fail('DAMAGED', { what: 'A backup record', problem: 'a level is not the next' })
    for (const child of found.children.toReversed())
      waiting.push({ locator: child, level: found.level - 1 })
  }
}

const fenceBelow = (bytes: Uint8Array): Below => {
  const fence = readFence(bytes)
  return 'children' in fence
    ? { level: fence.level, children: fence.children.map(({ locator }) => locator) }
    : { level: 0, children: [] }
}

const tableBelow = (bytes: Uint8Array): Below => {
  const table = readPackTable(bytes)
  return 'children' in table
    ? { level: table.level, children: table.children.map(({ locator }) => locator) }
    : { level: 0, children: [] }
}

/** All of them, each once. Throws what the vault, or the storage, is at fault for. */
export async function* objectsOf(
  vault: string,
  objects: ObjectReader,
  body: RecordBody,
): AsyncGenerator<PackRow, void, void> {
  const seen = new Set<PackNo>()
  const fresh = function* (row: PackRow): Generator<PackRow, void, void> {
    if (seen.has(row.pack)) return
    checkKey(vault, row)
    seen.add(row.pack)
    yield row
  }
  if (body.errors.all !== undefined) yield* fresh(rowOf(body.errors.all))
  for await (const locator of nodesOf(objects, body.fence, fenceBelow)) yield* fresh(rowOf(locator))
  for await (const locator of nodesOf(objects, body.packs, tableBelow)) {
    yield* fresh(rowOf(locator))
    const table = readPackTable(await objects.segment(factsOf(locator), locator))
    if ('rows' in table) for (const row of table.rows) yield* fresh(row)
  }
}

/** Nearly every header fits into the first look. */
const LOOKS = [KiB, 65 * KiB]

const preambleOf = async (
  source: ObjectSource,
  { key, size, headerHash }: PackRow,
): Promise<Uint8Array> => {
  for (const look of LOOKS) {
    const bytes = await source.read(key, 0, Math.min(size, look))
    try {
      const preamble = bytes.subarray(0, parseHeader(bytes).headerLength + NONCE)
      if (toBase64url(sha256(preamble)) === headerHash) return preamble
    } catch (error) {
      if (!hasCode(error, 'DAMAGED')) throw error
    }
  }
  throw fail('DAMAGED', { what: `The object ${key}`, problem: 'its header is not the signed one' })
}

export type Looked = { readonly object: RecoverObject; readonly failure: Failure | null }

/** Its header, and of a tree the key that opens it. What is missing or damaged is said, and costs the others nothing. */
export const lookAtObject = async (
  source: ObjectSource,
  identities: readonly Identity[],
  row: PackRow,
): Promise<Looked> => {
  const { pack: no, key, size, sha256: hash } = row
  const object = { no, key, size, sha256: hash, header: null }
  try {
    const header = await twice(async () => preambleOf(source, row))
    const found = { ...object, header: toBase64url(header) }
    if (parseKey(key)?.kind !== 'tree') return { object: found, failure: null }
    const fileKey = openHeader(header, identities, `the object ${key}`)
    return { object: { ...found, file_key: toBase64url(fileKey) }, failure: null }
  } catch (error) {
    const isOwnFault = hasCode(error, 'DAMAGED') || hasCode(error, 'MISSING_OBJECT')
    if (!(error instanceof Failure) || !isOwnFault) throw error
    return { object, failure: error }
  }
}
