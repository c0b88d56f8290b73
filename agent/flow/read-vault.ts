/** Opens a vault with identities: signer chain, vault secret, records; in this order, believing nothing before its check. */
import { Failure, fail, hasCode } from '#shared/errors.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { sha256 } from '#shared/format/keys.ts'
import { parseKey, vaultPrefix } from '#shared/format/layout.ts'
import { decodeRecord, type RecordBody, verifyRecord } from '#shared/format/record.ts'
import { type Chain, verifyChain } from '#shared/format/signers.ts'
import { decodeVaultSecret, deriveKeys } from '#shared/format/vault-secret.ts'
import type { Access } from '#shared/read/access.ts'
import { KiB, MiB } from '#shared/units.ts'
import type { Keyring } from '../core/keyring.ts'
import { type Gap, historyGaps } from '../core/restore-history.ts'
import type { ObjectSource } from '../core/restore-ports.ts'
import { ahead } from '#shared/read/ahead.ts'
import { createObjectReader, type ObjectReader, twice } from '#shared/read/object.ts'
import { signedAfterOffice } from '#shared/read/succession.ts'

export type VaultBackup = {
  readonly key: string
  /** base64url SHA-256 of the record's object: what the next record calls `previous`. */
  readonly sha256: string
  readonly body: RecordBody
  /** Place in the chain of the key that signed it. */
  readonly signer: number
}

/** Something of the vault that cannot be used. */
export type VaultProblem = { readonly key: string; readonly failure: Failure }

export type OpenedVault = {
  readonly id: string
  readonly chain: Chain
  /** Whether the genesis is the one that was asked for, or is believed because nothing else is known. */
  readonly trust: 'fingerprint' | 'first-use'
  /** Names content; where it is missing, names and metadata can be read but no content checked. */
  readonly idKey: Uint8Array | Failure
  /** Backups whose record is verified, by job, then ascending by sequence. */
  readonly backups: readonly VaultBackup[]
  readonly problems: readonly VaultProblem[]
  readonly gaps: readonly Gap[]
  readonly objects: ObjectReader
}

export type OpenVault = {
  readonly source: ObjectSource
  readonly vault: string
  readonly keys: Keyring
  /** base64url SHA-256 of the genesis, from the recovery kit. */
  readonly genesis?: string
}

const MAX_SMALL = 64 * KiB
/** A record's plaintext is one bucket of 64 KiB; its header may be longer than ours are. */
const MAX_RECORD = MiB
/** Records read at once. */
const RECORDS = 8

/** Throws where nothing of the vault can be believed or read; lesser damage is in `problems`. */
export const openVault = async (ask: OpenVault): Promise<OpenedVault> => {
  const problems: VaultProblem[] = []
  const chain = await readChain(ask, problems)
  const idKey = await readIdKey(ask, chain, problems)
  const verified: VaultBackup[] = []
  const keys = await ask.source.list(`${vaultPrefix(ask.vault)}backups/`)
  for await (const read of ahead(keys, RECORDS, async (key) => readRecord(ask, chain, key))) {
    if ('body' in read) verified.push(read)
    else problems.push(read)
  }
  refuseWrongKey(problems, verified)
  const backups = inOffice(verified, chain, problems)
  backups.sort((a, b) => compareText(a.body.job, b.body.job) || a.body.sequence - b.body.sequence)
  return {
    id: ask.vault,
    chain,
    trust: ask.genesis === undefined ? 'first-use' : 'fingerprint',
    idKey,
    backups,
    problems,
    gaps: historyGaps(backups.map(({ sha256: hash, body }) => ({ ...body, sha256: hash }))),
    objects: createObjectReader({ vault: ask.vault, access: accessOf(ask) }),
  }
}

/** Whoever has a key that was replaced can sign with it still, but nobody is to believe him. */
const inOffice = (
  verified: readonly VaultBackup[],
  { signers }: Chain,
  problems: VaultProblem[],
): VaultBackup[] => {
  const late = new Set<VaultBackup>()
  for (const ofJob of Map.groupBy(verified, ({ body }) => body.job).values()) {
    const signed = ofJob.map((of) => ({ sequence: of.body.sequence, signer: of.signer, of }))
    for (const { of } of signedAfterOffice(signed, signers)) late.add(of)
  }
  for (const { key } of late)
    problems.push({ key, failure: damaged(key, 'its key was replaced before it was signed') })
  return verified.filter((one) => !late.has(one))
}

const accessOf = ({ source, keys }: OpenVault): Access => ({
  read: async (key, start, end) => source.read(key, start, end),
  locate: async ({ key }) => {
    const at = source.whereabouts(key)
    return Promise.resolve(at === null ? null : { at })
  },
  openPreamble: async (bytes, { key }) => Promise.resolve(keys.preamble(bytes, key)),
})

/** An identity that opens no record at all is the wrong one: that is not damage. */
const refuseWrongKey = (
  problems: readonly VaultProblem[],
  backups: readonly VaultBackup[],
): void => {
  const wrong = problems.find(({ failure }) => hasCode(failure, 'WRONG_KEY'))
  if (wrong !== undefined && backups.length === 0) throw wrong.failure
}

/** The chain says to whom objects are sealed: one of ours that does not open for them has a damaged header. */
const openFor = (
  ask: OpenVault,
  recipients: readonly string[],
  object: { readonly bytes: Uint8Array; readonly key: string },
): Uint8Array => {
  try {
    return ask.keys.open(object.bytes, object.key)
  } catch (error) {
    if (!ask.keys.fits(recipients) || !hasCode(error, 'WRONG_KEY')) throw error
    throw damaged(object.key, 'its header does not open for its recipient')
  }
}

const compareText = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1)

/** The whole of a small object. */
const readWhole = async (source: ObjectSource, key: string, most: number): Promise<Uint8Array> => {
  const size = await source.size(key)
  if (size === null) throw fail('MISSING_OBJECT', { key })
  if (size > most) {
    throw fail('DAMAGED', { what: `The object ${key}`, problem: 'it is far too long' })
  }
  return source.read(key, 0, size)
}

const asFailure = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  throw error
}

type Numbered = { readonly key: string; readonly no: number }

const numbered = async (
  { source, vault }: OpenVault,
  kind: 'signer' | 'key',
): Promise<readonly Numbered[]> => {
  const keys = await source.list(`${vaultPrefix(vault)}${kind}s/`)
  return keys
    .flatMap((key) => {
      const parsed = parseKey(key)
      return parsed?.kind === kind ? [{ key, no: parsed.no }] : []
    })
    .sort((a, b) => a.no - b.no)
}

/** The longest beginning of the chain that verifies: records signed by later keys cannot be believed then. */
const readChain = async (ask: OpenVault, problems: VaultProblem[]): Promise<Chain> => {
  const files = await numbered(ask, 'signer')
  if (files.length === 0) {
    throw fail('MISSING_OBJECT', { key: `${vaultPrefix(ask.vault)}signers/0` })
  }
  const believed: Uint8Array[] = []
  let chain: Chain | null = null
  let first: Failure | null = null
  for (const { key, no } of files) {
    if (no !== believed.length) continue
    try {
      const next = await twice(async () => {
        const bytes = await readWhole(ask.source, key, MAX_SMALL)
        return { bytes, chain: extend(ask, believed, bytes) }
      })
      believed.push(next.bytes)
      chain = next.chain
    } catch (error) {
      const failure = asFailure(error)
      problems.push({ key, failure })
      first ??= failure
    }
  }
  if (chain === null) throw first ?? missingGenesis(ask.vault)
  const last = files.at(-1)
  if (last !== undefined && last.no >= believed.length && first === null) {
    problems.push({ key: last.key, failure: missingSigner(ask.vault, believed.length) })
  }
  return chain
}

const extend = (ask: OpenVault, believed: readonly Uint8Array[], bytes: Uint8Array): Chain => {
  const [genesis, ...rest] = believed
  const chain =
    genesis === undefined
      ? verifyChain(bytes, [], ask.genesis)
      : verifyChain(genesis, [...rest, bytes], ask.genesis)
  if (chain.vault === ask.vault) return chain
  throw fail('DAMAGED', { what: 'The genesis of the vault', problem: 'it is of another vault' })
}

const missingGenesis = (vault: string): Failure => missingSigner(vault, 0)

const missingSigner = (vault: string, no: number): Failure =>
  fail('MISSING_OBJECT', { key: `${vaultPrefix(vault)}signers/${String(no)}` })

/** Every file holds the same secret: the first that opens will do. */
const readIdKey = async (
  ask: OpenVault,
  { recipients }: Chain,
  problems: VaultProblem[],
): Promise<Uint8Array | Failure> => {
  if (ask.keys.idKey !== null) return ask.keys.idKey
  let failure = fail('MISSING_OBJECT', { key: `${vaultPrefix(ask.vault)}keys/0` })
  for (const [i, { key }] of (await numbered(ask, 'key')).entries()) {
    try {
      return await twice(async () => {
        const bytes = await readWhole(ask.source, key, MAX_SMALL)
        const readers = [...recipients.content, ...recipients.recovery]
        const secret = openFor(ask, readers, { bytes, key })
        return deriveKeys(decodeVaultSecret(secret, ask.vault)).idKey
      })
    } catch (error) {
      const problem = asFailure(error)
      if (!hasCode(problem, 'WRONG_KEY')) problems.push({ key, failure: problem })
      if (i === 0) failure = problem
    }
  }
  return failure
}

const readRecord = async (
  ask: OpenVault,
  chain: Chain,
  key: string,
): Promise<VaultBackup | VaultProblem> => {
  try {
    return await twice(async () => {
      const parsed = parseKey(key)
      if (parsed?.kind !== 'record') throw damaged(key, 'its key is not that of a record')
      const bytes = await readWhole(ask.source, key, MAX_RECORD)
      const { content, recovery, list } = chain.recipients
      const record = decodeRecord(openFor(ask, [...content, ...recovery, ...list], { bytes, key }))
      const signer = verifyRecord(record, chain)
      const { body } = record
      if (body.backup !== parsed.backup) throw damaged(key, 'it is the record of another backup')
      // The first errors can take 64 KiB a record, and nobody asks for them here.
      const errors = { ...body.errors, first: [] }
      return { key, sha256: toBase64url(sha256(bytes)), body: { ...body, errors }, signer }
    })
  } catch (error) {
    return { key, failure: asFailure(error) }
  }
}

const damaged = (key: string, problem: string): Failure =>
  fail('DAMAGED', { what: `The object ${key}`, problem })
