/**
 * Reading a committed backup at the control plane: signer chain, signed record, then whatever hangs below it, each
 * checked before it is believed. FORMAT.md, "Terms". The catalog says where things lie and spares the reads of headers;
 * what it says is compared with what was signed.
 */
import { type Failure, fail, hasCode } from '#shared/errors.ts'
import {
  open as openAge,
  openPreamble,
  openPreambleWith,
  openSegments,
} from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { type Identity, sha256 } from '#shared/format/keys.ts'
import { parseKey } from '#shared/format/layout.ts'
import { decodeRecord, type RecordBody, verifyRecord } from '#shared/format/record.ts'
import { type Chain, verifyChain } from '#shared/format/signers.ts'
import { decodeVaultSecret, deriveKeys } from '#shared/format/vault-secret.ts'
import type { Access, Located, ObjectFacts, OpenedPreamble } from '#shared/read/access.ts'
import { createObjectReader, type ObjectReader, twice } from '#shared/read/object.ts'
import { createPackRows } from '#shared/read/packs.ts'
import type { TreeOf } from '#shared/read/tree.ts'
import { KiB, MiB } from '#shared/units.ts'
import type { Stores } from '../ports.ts'
import type { CommittedBackup, Reading, StoredRow } from '../ports/reading.ts'

export type ReadBackupParts = { readonly reading: Reading; readonly stores: Stores }

/** A backup whose record is verified. */
export type SignedBackup = {
  readonly committed: CommittedBackup
  readonly chain: Chain
  readonly body: RecordBody
}

export type ReadBackup = SignedBackup & {
  readonly access: Access
  readonly objects: ObjectReader
  readonly tree: TreeOf
}

/** What opens content: a managed identity is used where nothing else is given. */
export type OpenPack = (preamble: Uint8Array, facts: ObjectFacts) => Promise<OpenedPreamble>

const MAX_SECRET = 64 * KiB
const MAX_RECORD = MiB
/** URLs that nobody is given: they are for the reader's own threads. */
const OWN_USE_SECONDS = 900

type Place = { readonly parts: ReadBackupParts; readonly committed: CommittedBackup }

/** The whole of a small object whose size the catalog knows. */
const readWhole = async (
  { parts, committed }: Place,
  { key, size }: Pick<StoredRow, 'key' | 'size'>,
  [most, stop]: readonly [number, AbortSignal],
): Promise<Uint8Array> => {
  if (size > most) throw damaged(key, 'it is far too long')
  const store = await parts.stores.open(committed.storage)
  const bytes = await store.get(key, { start: 0, end: size }, stop)
  if (bytes === null) throw fail('MISSING_OBJECT', { key })
  return bytes
}

/** One of ours that does not open for its recipient has a damaged header. */
const openOwn = (
  identity: Identity,
  chain: Chain,
  object: Pick<StoredRow, 'key' | 'fileKey'> & { readonly bytes: Uint8Array },
): Uint8Array => {
  try {
    if (object.fileKey !== undefined) {
      const { key, length } = openPreambleWith(object.bytes, object.fileKey)
      return openSegments(key, object.bytes.subarray(length), 0, true)
    }
    return openAge(object.bytes, [identity], `the object ${object.key}`)
  } catch (error) {
    throw ownError(error, [identity, chain], object.key)
  }
}

const ownError = (
  error: unknown,
  [identity, chain]: readonly [Identity, Chain],
  key: string,
): unknown => {
  const { content, recovery, list } = chain.recipients
  const ours = [...content, ...recovery, ...list].includes(identity.recipient.text)
  return ours && hasCode(error, 'WRONG_KEY')
    ? damaged(key, 'its header does not open for its recipient')
    : error
}

const readRecord = async (
  place: Place,
  [chain, list]: readonly [Chain, Identity],
  stop: AbortSignal,
): Promise<RecordBody> => {
  const { backup, job, sequence, record } = place.committed
  return twice(async () => {
    const bytes = await readWhole(place, record, [MAX_RECORD, stop])
    if (toBase64url(sha256(bytes)) !== record.sha256)
      throw damaged(record.key, 'its SHA-256 is not the one that was committed')
    const decoded = decodeRecord(openOwn(list, chain, { ...record, bytes }))
    verifyRecord(decoded, chain, backup)
    const { body } = decoded
    if (body.job !== job || body.sequence !== sequence)
      throw damaged(record.key, 'it is of another place in the chain')
    return body
  })
}

/** Where it lies; its header is read there. */
const signedUrl = async (
  { parts, committed }: Place,
  { key }: Pick<ObjectFacts, 'key'>,
): Promise<Located> => {
  const store = await parts.stores.open(committed.storage)
  return { at: { url: store.signGet({ key, expiresIn: OWN_USE_SECONDS }) } }
}

const locate = async ({ parts, committed }: Place, facts: ObjectFacts): Promise<Located> => {
  const { at } = await signedUrl({ parts, committed }, facts)
  const [row] = await parts.reading.packs(committed.vault, [facts.pack])
  return row?.key === facts.key ? { at, preamble: row.header } : { at }
}

/** Reads again what the storage did not do, for as long as `waitOut` waits. */
export const patiently = async <T>(waitOut: WaitOut, read: () => Promise<T>): Promise<T> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await read()
    } catch (error) {
      if (!hasCode(error, 'STORAGE_UNAVAILABLE')) throw error
      await waitOut(error, attempt)
    }
  }
}

type Openers = { readonly list: Identity; readonly openPack: OpenPack; readonly chain: Chain }

const accessOf = (
  place: Place,
  { list, openPack, chain }: Openers,
  { stop, waitOut = giveUp, headers = 'catalog', spend }: ReadHow,
): Access => {
  const { parts, committed } = place
  return {
    read: async (key, start, end) => {
      await spend?.(end - start)
      return patiently(waitOut, async () => {
        const store = await parts.stores.open(committed.storage)
        const bytes = await store.get(key, { start, end }, stop)
        if (bytes === null) throw fail('MISSING_OBJECT', { key })
        return bytes
      })
    },
    locate: async (facts) =>
      headers === 'catalog' ? locate(place, facts) : signedUrl(place, facts),
    openPreamble: async (preamble, facts) => {
      if (parseKey(facts.key)?.kind === 'pack') return openPack(preamble, facts)
      try {
        return await Promise.resolve(openPreamble(preamble, [list], `the object ${facts.key}`))
      } catch (error) {
        // Sealed before a recovery, to a list recipient that nobody has any more.
        const [row] = hasCode(error, 'WRONG_KEY')
          ? await parts.reading.packs(committed.vault, [facts.pack])
          : []
        if (row?.fileKey !== undefined && row.key === facts.key)
          return openPreambleWith(preamble, row.fileKey)
        throw ownError(error, [list, chain], facts.key)
      }
    },
  }
}

const withoutKey = (key: string): Error =>
  fail('KEY_REQUIRED', { problem: `only the customer's key opens the object ${key}` })

const managed =
  (content: Identity | null, chain: Chain): OpenPack =>
  async (preamble, { key }) => {
    if (content === null) throw withoutKey(key)
    try {
      return await Promise.resolve(openPreamble(preamble, [content], `the object ${key}`))
    } catch (error) {
      throw ownError(error, [content, chain], key)
    }
  }

/** The signed record of the backup. `DAMAGED` or `MISSING_OBJECT` where it cannot be believed. */
export const readSigned = async (
  parts: ReadBackupParts,
  committed: CommittedBackup,
  stop: AbortSignal,
): Promise<SignedBackup> => {
  const chain = chainOf(committed)
  const { list } = await parts.reading.identities(committed.vault)
  const body = await readRecord({ parts, committed }, [chain, list], stop)
  return { committed, chain, body }
}

/** Waits before another attempt at what the storage did not do, the first time with 1; throws when it is enough. */
export type WaitOut = (failure: Failure, attempt: number) => Promise<void>

const giveUp: WaitOut = async (failure) => Promise.reject(failure)

export type ReadHow = {
  readonly stop: AbortSignal
  /** Default: the managed identity, else `KEY_REQUIRED`. */
  readonly openPack?: OpenPack
  /** Default: no patience; an answer that is late is of no use. */
  readonly waitOut?: WaitOut
  /** Where headers of objects are taken from; default: the catalog, which spares a read. */
  readonly headers?: 'catalog' | 'storage'
  /** Waits until so many bytes may be read. */
  readonly spend?: (bytes: number) => Promise<void>
  /** What stands before the reader of objects, such as a cache. */
  readonly over?: (objects: ObjectReader) => ObjectReader
}

/** Readers of what a verified record leads to. */
export const readerOf = async (
  parts: ReadBackupParts,
  signed: SignedBackup,
  how: ReadHow,
): Promise<ReadBackup> => {
  const { committed, chain, body } = signed
  const { openPack, over } = how
  const { list, content } = await parts.reading.identities(committed.vault)
  const openers = { list, chain, openPack: openPack ?? managed(content, chain) }
  const access = accessOf({ parts, committed }, openers, how)
  const plain = createObjectReader({ vault: committed.vault, access })
  const objects = over === undefined ? plain : over(plain)
  const tree = { objects, packs: createPackRows(objects, body.packs), fence: body.fence }
  return { ...signed, access, objects, tree }
}

/** Both. `STORAGE_UNAVAILABLE` where the world failed. */
export const readBackup = async (
  parts: ReadBackupParts,
  committed: CommittedBackup,
  how: ReadHow,
): Promise<ReadBackup> => readerOf(parts, await readSigned(parts, committed, how.stop), how)

/** The verified chain of signers of the backup's vault. */
export const chainOf = ({ vault, signers }: CommittedBackup): Chain => {
  const [genesis = new Uint8Array(), ...rest] = signers
  const chain = verifyChain(genesis, rest)
  if (chain.vault === vault) return chain
  throw fail('DAMAGED', { what: 'The genesis of the vault', problem: 'it is of another vault' })
}

/**
 * The vault's id key, which content is checked with: from its secret, by the managed identity. `KEY_REQUIRED` where only
 * the customer can open that.
 */
export const idKeyOf = async (
  parts: ReadBackupParts,
  committed: CommittedBackup,
  stop: AbortSignal,
): Promise<Uint8Array> => {
  const { content } = await parts.reading.identities(committed.vault)
  if (content === null) throw withoutKey('of the vault secret')
  const chain = chainOf(committed)
  let first: unknown = fail('MISSING_OBJECT', { key: `vaults/${committed.vault}/keys/0` })
  // Every file holds the same secret: the first that opens will do.
  for (const [i, secret] of (await parts.reading.secrets(committed.vault)).entries()) {
    try {
      return await twice(async () => {
        const bytes = await readWhole({ parts, committed }, secret, [MAX_SECRET, stop])
        const plain = openOwn(content, chain, { key: secret.key, bytes })
        return deriveKeys(decodeVaultSecret(plain, committed.vault)).idKey
      })
    } catch (error) {
      if (i === 0) first = error
    }
  }
  throw first
}

const damaged = (key: string, problem: string): Error =>
  fail('DAMAGED', { what: `The object ${key}`, problem })
