import { open } from '#shared/format/age.ts'
import { walkContentLists } from '#shared/format/content-list.ts'
import { locateSegments } from '#shared/format/fence.ts'
import { decodeFrame } from '#shared/format/frame.ts'
import { blobId } from '#shared/format/blob-id.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { genesisFingerprint, verifyChain } from '#shared/format/signers.ts'
import { sha256, type Identity } from '#shared/format/keys.ts'
import type { FullLocator, Locator } from '#shared/format/locator.ts'
import { allPacks } from '#shared/format/pack-table.ts'
import { packIndexOf } from '#shared/format/pack.ts'
import { decodeRecord, verifyRecord, type RecordBody } from '#shared/format/record.ts'
import { readSegment, verifySegment } from '#shared/format/segment.ts'
import type { Entry } from '#shared/format/tree.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import { decodeVaultSecret, deriveKeys } from '#shared/format/vault-secret.ts'

export type ReadBack = {
  readonly record: RecordBody
  /** By path (latin1). */
  readonly entries: Map<string, { entry: Entry; content: Buffer }>
  readonly packs: readonly number[]
}

/** The content with its holes. */
const filled = ({ holes = [], size = 0 }: Entry, content: Buffer): Buffer => {
  if (holes.length === 0) return content
  const whole = Buffer.alloc(size)
  let at = 0
  let from = 0
  for (const [offset, length] of [...holes, [size, 0] as const]) {
    content.copy(whole, at, from, from + offset - at)
    from += offset - at
    at = offset + length
  }
  return from === content.length ? whole : content
}

/** Reads a whole backup from the objects of a store with an identity, checking everything that a reader must check. */
export const readBack = (
  store: ReadonlyMap<string, Uint8Array>,
  recordKey: string,
  identities: readonly Identity[],
): ReadBack => {
  const plaintexts = new Map<string, Uint8Array>()
  const plain = (key: string): Uint8Array => {
    const there = plaintexts.get(key)
    if (there !== undefined) return there
    const bytes = store.get(key)
    if (bytes === undefined) throw new Error(`no object ${key}`)
    const opened = open(bytes, identities)
    plaintexts.set(key, opened)
    return opened
  }
  const slice = (key: string, at: Locator | FullLocator): Uint8Array => {
    const frame = decodeFrame(plain(key).subarray(at[1], at[1] + at[2]))
    return frame.subarray(at[3], at[3] + at[4])
  }
  const full = (at: FullLocator): Uint8Array => {
    const object = store.get(at[6])
    if (object?.length !== at[7] || toBase64url(sha256(object)) !== at[8])
      throw new Error(`${at[6]} is not what its locator says`)
    return slice(at[6], at)
  }
  const run = <R>(steps: Generator<FullLocator, R, Uint8Array>): R => {
    let step = steps.next()
    while (step.done !== true) step = steps.next(full(step.value))
    return step.value
  }
  const keyWith = (part: string): string => {
    const key = [...store.keys()].find((one) => one.includes(part))
    if (key === undefined) throw new Error(`nothing with ${part}`)
    return key
  }
  const genesis = store.get(keyWith('/signers/0-')) ?? new Uint8Array()
  const chain = verifyChain(genesis, [], genesisFingerprint(genesis))
  const secret = decodeVaultSecret(
    open(store.get(keyWith('/keys/0-')) ?? new Uint8Array(), identities),
    chain.vault,
  )
  const { idKey } = deriveKeys(secret)
  const decoded = decodeRecord(plain(recordKey))
  verifyRecord(decoded, chain)
  const record = decoded.body
  const rows = new Map(run(allPacks(record.packs)).map((row) => [row.pack, row]))
  for (const row of rows.values()) {
    const object = store.get(row.key)
    if (object?.length !== row.size || toBase64url(sha256(object)) !== row.sha256)
      throw new Error(`pack ${row.pack} is not what the table says`)
    packIndexOf(plain(row.key))
  }
  const bare = (at: Locator): Uint8Array => {
    const row = rows.get(at[0])
    if (row === undefined) throw new Error(`pack ${at[0]} is not in the table`)
    return slice(row.key, at)
  }
  const blob = (at: Locator): Uint8Array => {
    const bytes = bare(at)
    if (toBase64url(blobId(idKey, bytes)) !== at[5])
      throw new Error('a blob is not what its id says')
    return bytes
  }
  const contentOf = (entry: Entry): Buffer => {
    if (entry.more === undefined) return Buffer.concat((entry.content ?? []).map(blob))
    const parts: Uint8Array[] = []
    const steps = walkContentLists(entry.more)
    let step = steps.next()
    while (step.done !== true) {
      if (step.value.blobs !== undefined) parts.push(...step.value.blobs.map(blob))
      step = steps.next(step.value.fetch === undefined ? undefined : bare(step.value.fetch))
    }
    return Buffer.concat(parts)
  }
  const entries: ReadBack['entries'] = new Map()
  for (const { locator } of run(locateSegments(record.fence, { at: 'all' }))) {
    const bytes = bare(locator)
    verifySegment(bytes, locator)
    for (const { dir, name, entry } of readSegment(bytes)) {
      const content = filled(entry, contentOf(entry))
      if (entry.type === 'file' && entry.skipped === undefined && content.length !== entry.size)
        throw new Error(`${pathOf(dir, name)} has the wrong length`)
      entries.set(pathOf(dir, name), { entry, content })
    }
  }
  return { record, entries, packs: [...rows.keys()] }
}
