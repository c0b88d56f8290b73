/**
 * The holder of a customer's key opens packs for somebody else (FORMAT.md, "Keys"). What he is asked is not believed:
 * every pack must be one that the verified tree of this backup needs for the paths that he is shown.
 */
import { fail } from '#shared/errors.ts'
import { FILE_KEY, openHeader } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { type Identity, sha256 } from '#shared/format/keys.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { RecordBody } from '#shared/format/record.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { sealedFor } from '#shared/protocol/open-request.ts'
import { contentOf } from '#shared/read/content.ts'
import { pathOfRange, stepsOf } from '#shared/read/select.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { sealTo } from '#shared/seal.ts'
import type { Random } from '#shared/world.ts'
import { type Handed, handedBytes } from '../core/handed.ts'

type Approve = Extract<Handed['action'], { do: 'approve' }>

type Asked = {
  readonly action: Approve
  readonly identities: readonly Identity[]
  readonly idKey: Uint8Array
  readonly paths: readonly Bytes[]
}

/** Facts of the verified record and tree, and the keys sealed to the opener. */
export type Approval = {
  readonly hostname: string
  readonly started: number
  readonly files: number
  readonly bytes: number
  readonly sealed_file_keys: Readonly<Record<string, string>>
  readonly sealed_id_key: string
}

type Need = { readonly packs: ReadonlySet<PackNo>; readonly files: number; readonly bytes: number }

/** The packs of the wanted paths' content. Throws where a part of the tree cannot be read: nothing is opened unseen. */
const needOf = async (tree: TreeOf, paths: readonly Bytes[]): Promise<Need> => {
  const packs = new Set<PackNo>()
  let files = 0
  let bytes = 0
  for (const { step, range } of stepsOf(paths)) {
    if (step === 'ancestor') continue
    let found = step !== 'entry'
    for await (const part of walkTree(tree, range)) {
      if (part.part === 'lost') throw part.failure
      for (const { entry } of part.entries) {
        found = true
        if (entry.type !== 'file') continue
        files += 1
        bytes += entry.size ?? 0
        for await (const locators of contentOf(tree, entry))
          for (const [pack] of locators) packs.add(pack)
      }
    }
    if (!found) throw fail('RESOURCE_NOT_FOUND', { resource: 'path', id: pathOfRange(range) })
  }
  return { packs, files, bytes }
}

const refuse = (no: PackNo, problem: string): Error =>
  fail('DAMAGED', { what: `The request for pack ${String(no)}`, problem })

export const approve = async (
  { action, identities, idKey, paths }: Asked,
  { tree, body }: { readonly tree: TreeOf; readonly body: RecordBody },
  { random }: { readonly random: Random },
): Promise<Approval> => {
  const { request, packs } = action
  const openerKey = handedBytes(action.opener_key)
  const need = await needOf(tree, paths)
  const seal = (plaintext: Uint8Array, purpose: string): string =>
    toBase64url(sealTo(openerKey, plaintext, { ephemeral: random(32), purpose }))
  const sealed: Record<string, string> = {}
  for (const { no, header } of packs) {
    if (!need.packs.has(no)) throw refuse(no, 'nothing that was asked for lies in it')
    const preamble = handedBytes(header)
    const row = await tree.packs.row(no)
    if (toBase64url(sha256(preamble)) !== row.headerHash)
      throw refuse(no, 'its header is not the one that was signed for')
    const fileKey = openHeader(preamble, identities, `pack ${String(no)}`)
    if (fileKey.length !== FILE_KEY) throw refuse(no, 'its key has another length')
    sealed[String(no)] = seal(fileKey, sealedFor.object(request, no))
  }
  return {
    hostname: body.host.hostname,
    started: body.started,
    files: need.files,
    bytes: need.bytes,
    sealed_file_keys: sealed,
    sealed_id_key: seal(idKey, sealedFor.idKey(request)),
  }
}
