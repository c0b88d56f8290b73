/** What a restore is of: chain, record and id key, each checked before it is believed (PROTOCOL.md, `restore.start`). */
import { fail } from '#shared/errors.ts'
import { openSegments } from '#shared/format/age.ts'
import { parseBase64url, toBase64url } from '#shared/format/bytes.ts'
import { sha256 } from '#shared/format/keys.ts'
import { decodeRecord, type RecordBody, verifyRecord } from '#shared/format/record.ts'
import { type Chain, verifyChain } from '#shared/format/signers.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { openIdKey, type Opener, openWithSealed } from '#shared/read/handed.ts'
import { twice } from '#shared/read/object.ts'
import { MiB } from '#shared/units.ts'
import type { Reading } from './restore-reading.ts'

export type Opening = {
  readonly body: RecordBody
  readonly idKey: Uint8Array
  readonly chain: Chain
  /** Whether this agent knew the genesis before it was told of it now. */
  readonly isKnown: boolean
}

type Parts = {
  readonly opener: Opener
  readonly reading: Reading
  /** base64url SHA-256 of the genesis of a vault that this agent writes; null of any other. */
  readonly pinned: string | null
  /** The order as it was given last: its address is the newest. */
  readonly latest: () => RestoreStart
}

/** A record's plaintext is one bucket of 64 KiB; its header may be longer than ours are. */
const MAX_RECORD = MiB

const bytesOf = (text: string, what: string): Uint8Array => {
  const bytes = parseBase64url(text)
  if (bytes === null) throw fail('PROTOCOL_VIOLATION', { problem: `${what} is not base64url` })
  return bytes
}

const chainOf = ({ vault, signers }: RestoreStart, pinned: string | null): Chain => {
  const [genesis, ...rest] = signers.map((text) => bytesOf(text, 'a signer'))
  if (genesis === undefined) throw fail('PROTOCOL_VIOLATION', { problem: 'there is no genesis' })
  const chain = verifyChain(genesis, rest, pinned ?? undefined)
  if (chain.vault === vault) return chain
  throw fail('DAMAGED', { what: 'The genesis of the vault', problem: 'it is of another vault' })
}

const readRecord = async (
  { opener, reading, latest }: Parts,
  chain: Chain,
): Promise<RecordBody> => {
  const { backup, record } = latest()
  const { key, size } = record
  const damaged = (problem: string): Error =>
    fail('DAMAGED', { what: `The object ${key}`, problem })
  if (size > MAX_RECORD) throw damaged('it is far too long')
  return twice(async () => {
    const where = (): { url: string } => ({ url: latest().record.url })
    const renew = async (): Promise<{ url: string }> => Promise.resolve(where())
    const bytes = await reading.read({ key, start: 0, end: size }, where(), renew)
    if (toBase64url(sha256(bytes)) !== record.sha256)
      throw damaged('its SHA-256 is not the one that was said')
    const sealed = bytesOf(record.sealed_file_key, 'the key of the record')
    const preamble = openWithSealed(opener, { what: 'record', sealed }, bytes)
    const plain = openSegments(preamble.key, bytes.subarray(preamble.length), 0, true)
    const decoded = decodeRecord(plain)
    verifyRecord(decoded, chain, backup)
    // The first errors can take 64 KiB, and a restore does not ask for them.
    return { ...decoded.body, errors: { ...decoded.body.errors, first: [] } }
  })
}

export const openBackup = async (parts: Parts): Promise<Opening> => {
  const { opener, pinned, latest } = parts
  const order = latest()
  const chain = chainOf(order, pinned)
  const body = await readRecord(parts, chain)
  const idKey = openIdKey(opener, bytesOf(order.sealed_id_key, 'the id key'))
  return { body, idKey, chain, isKnown: pinned !== null }
}
