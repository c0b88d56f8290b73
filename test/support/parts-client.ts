/** A client of downloads in format `parts`, which believes nothing but the genesis: it verifies what it is given itself. */
import { open as openAge } from '#shared/format/age.ts'
import { createBlobIds } from '#shared/format/blob-id.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { decodeFrame } from '#shared/format/frame.ts'
import type { Identity } from '#shared/format/keys.ts'
import type { Locator } from '#shared/format/locator.ts'
import { decodeRecord, verifyRecord } from '#shared/format/record.ts'
import { verifyChain } from '#shared/format/signers.ts'
import { decodeVaultSecret, deriveKeys } from '#shared/format/vault-secret.ts'
import { openPreamble, openSegments, plainSize, segmentRange } from '#shared/format/age.ts'
import type { Part, Parts, StoredPart } from '#shared/api/downloads.ts'
import type { Access } from '#shared/read/access.ts'
import { contentOf } from '#shared/read/content.ts'
import { openIdKey, openWithSealed } from '#shared/read/handed.ts'
import { createObjectReader } from '#shared/read/object.ts'
import { createPackRows } from '#shared/read/packs.ts'
import { selectionOf, type Wish } from '#shared/read/selection.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'

export type PartsKeys = {
  /** Secret of the opener key. */
  readonly secret: Uint8Array
  /** Where keys are not handed over. */
  readonly identity?: Identity
}

const bytesOf = (text: string | undefined): Uint8Array => Buffer.from(text ?? '', 'base64url')

const fetchBytes = async (url: string, range?: readonly [number, number]): Promise<Uint8Array> => {
  const headers = range === undefined ? {} : { range: `bytes=${range[0]}-${range[1] - 1}` }
  const answer = await fetch(url, { headers })
  if (!answer.ok) throw new Error(`GET ${url}: ${answer.status}`)
  return new Uint8Array(await answer.arrayBuffer())
}

/** Reads only what the ranges allow: the answer has to name all that is needed. */
const accessOf = (parts: Parts, { secret, identity }: PartsKeys): Access => {
  const all = new Map<string, Part>(
    [...parts.parts, ...parts.trees].map((one) => [one.object, one]),
  )
  const partOf = (key: string): Part => {
    const part = all.get(key)
    if (part === undefined) throw new Error(`the answer does not have ${key}`)
    return part
  }
  return {
    read: async (key, start, end) => {
      const part = partOf(key)
      if (!part.ranges.some(([from, to]) => from <= start && end <= to))
        throw new Error(`${start} to ${end} of ${key} is in none of its ranges`)
      return fetchBytes(part.url, [start, end])
    },
    locate: async ({ key }) => {
      const { url, header } = partOf(key)
      return Promise.resolve({
        at: { url },
        ...(header === undefined ? {} : { preamble: bytesOf(header) }),
      })
    },
    openPreamble: async (preamble, { key, pack }) => {
      const sealed = partOf(key).sealed_file_key
      if (sealed === undefined) {
        if (identity === undefined) throw new Error(`no key for ${key}`)
        return Promise.resolve(openPreamble(preamble, [identity]))
      }
      const opener = { secret, opening: parts.opening }
      return Promise.resolve(
        openWithSealed(opener, { what: pack, sealed: bytesOf(sealed) }, preamble),
      )
    },
  }
}

const openRecord = async (parts: Parts, { secret }: PartsKeys): Promise<Uint8Array> => {
  const { url, sealed_file_key, header, sha256 } = parts.record
  const bytes = await fetchBytes(url)
  const hash = toBase64url(
    new Uint8Array(await crypto.subtle.digest('SHA-256', Buffer.from(bytes))),
  )
  if (hash !== sha256) throw new Error('another record')
  if (!Buffer.from(bytes).subarray(0, bytesOf(header).length).equals(bytesOf(header)))
    throw new Error('another header')
  const opener = { secret, opening: parts.opening }
  const { key, length } = openWithSealed(
    opener,
    { what: 'record', sealed: bytesOf(sealed_file_key) },
    bytes,
  )
  if (plainSize(bytes.length, length) < 1) throw new Error('an empty record')
  return openSegments(key, bytes.subarray(length), 0, true)
}

const idKeyOf = async (parts: Parts, vault: string, keys: PartsKeys): Promise<Uint8Array> => {
  if (parts.sealed_id_key !== undefined)
    return openIdKey({ secret: keys.secret, opening: parts.opening }, bytesOf(parts.sealed_id_key))
  const secret: StoredPart | undefined = parts.secret
  if (secret === undefined || keys.identity === undefined)
    throw new Error('nothing opens the vault')
  const plain = openAge(await fetchBytes(secret.url), [keys.identity])
  return deriveKeys(decodeVaultSecret(plain, vault)).idKey
}

const pieceOf = async (
  { objects, packs }: TreeOf,
  access: Access,
  [pack, frameOffset, frameLength, offset, length]: Locator,
): Promise<Uint8Array> => {
  const object = await objects.open(await packs.row(pack))
  const wanted = { start: frameOffset, end: frameOffset + frameLength }
  const range = segmentRange(wanted, object.preambleLength, object.size)
  const sealed = await access.read(object.key, range.start, range.end)
  const plain = openSegments(object.payloadKey, sealed, range.firstSegment, range.isLast)
  const frame = decodeFrame(plain.subarray(range.skip, range.skip + frameLength))
  return frame.subarray(offset, offset + length)
}

/** Content of every file of the wish by its path, verified from the genesis down to the ids of its blobs. */
export const readParts = async (
  parts: Parts,
  fingerprint: string,
  [wish, keys]: readonly [Wish, PartsKeys],
): Promise<ReadonlyMap<string, Buffer>> => {
  const [genesis, ...signers] = parts.signers.map(bytesOf)
  const chain = verifyChain(genesis!, signers, fingerprint)
  const record = decodeRecord(await openRecord(parts, keys))
  verifyRecord(record, chain)
  const { body } = record
  const access = accessOf(parts, keys)
  const objects = createObjectReader({ vault: chain.vault, access })
  const tree = { objects, packs: createPackRows(objects, body.packs), fence: body.fence }
  const idOf = createBlobIds(await idKeyOf(parts, chain.vault, keys))
  const files = new Map<string, Buffer>()
  const selection = selectionOf(wish)
  for await (const part of walkTree(tree, selection.scope)) {
    if (part.part === 'lost') throw part.failure
    for (const { dir, name, entry } of part.entries.filter((line) => selection.wants(line))) {
      if (entry.type !== 'file') continue
      const pieces: Uint8Array[] = []
      for await (const run of contentOf(tree, entry))
        for (const locator of run) {
          const piece = await pieceOf(tree, access, locator)
          if (toBase64url(idOf(piece)) !== locator[5]) throw new Error('not the blob that it says')
          pieces.push(piece)
        }
      files.set(`${dir === '/' ? '' : dir}/${name}`, Buffer.concat(pieces))
    }
  }
  return files
}
