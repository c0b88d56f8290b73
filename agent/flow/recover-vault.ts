/**
 * One vault for `holdfast recover`: chain, records and what they lead to, verified as for a restore, told piece by piece. A
 * record that cannot be believed is named, and the others go on. FORMAT.md, "Reading"; PROTOCOL.md, "Recovering".
 */
import { fail, Failure, hasCode } from '#shared/errors.ts'
import { openHeader, preambleLength } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { type Identity, makeSigningKey, sha256 } from '#shared/format/keys.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { PackNo } from '#shared/format/locator.ts'
import type { RecoveryKit } from '#shared/format/recovery-kit.ts'
import { type Chain, encodeSigner, MAX_FILE, verifyChain } from '#shared/format/signers.ts'
import type { FromReader, RecoverVault } from '#shared/protocol/recovery.ts'
import { ahead } from '#shared/read/ahead.ts'
import type { Clock } from '#shared/world.ts'
import { identityRing } from '../core/keyring.ts'
import type { Gap } from '../core/restore-history.ts'
import type { ObjectSource } from '../core/restore-ports.ts'
import { type OpenedVault, openVault, type VaultBackup } from './read-vault.ts'
import { lookAtObject, objectsOf } from './recover-objects.ts'

export type RecoverParts = {
  readonly kit: RecoveryKit
  readonly identities: readonly Identity[]
  readonly source: ObjectSource
  readonly clock: Pick<Clock, 'now'>
  /** Resolves when the other end has taken it. */
  readonly tell: (message: FromReader) => Promise<void>
}

/** Objects looked at at once; objects in one message. */
const LOOKS = 16
const TOGETHER = 200

/** The signer files that the chain is made of: the first of each number that continues it. */
const filesOf = async (
  source: ObjectSource,
  { vault, keys }: RecoverVault,
  chain: Chain,
): Promise<readonly { readonly key: string; readonly bytes: Uint8Array }[]> => {
  const files: { key: string; bytes: Uint8Array }[] = []
  const candidates = keys.flatMap((key) => {
    const parsed = parseKey(key)
    return parsed?.kind === 'signer' ? [{ key, no: parsed.no }] : []
  })
  for (let no = 0; no < chain.signers.length; no += 1) {
    for (const { key } of candidates.filter((one) => one.no === no)) {
      const bytes = await source.read(key, 0, Math.min(MAX_FILE, (await source.size(key)) ?? 0))
      const [genesis, ...rest] = files.map((file) => file.bytes)
      try {
        const longer =
          genesis === undefined ? verifyChain(bytes, []) : verifyChain(genesis, [...rest, bytes])
        if (longer.vault !== vault) continue
      } catch (error) {
        if (hasCode(error, 'DAMAGED') || hasCode(error, 'UNSUPPORTED')) continue
        throw error
      }
      files.push({ key, bytes })
      break
    }
  }
  return files
}

/** The kit's key says that the new list recipient is one of ours; who reads content, and who writes, stays as it was. */
const nextSigner = (
  { kit, clock }: RecoverParts,
  chain: Chain,
  [last, list]: readonly [Uint8Array, string],
): Uint8Array | null => {
  if (chain.recipients.list.length === 1 && chain.recipients.list[0] === list) return null
  return encodeSigner(
    {
      vault: chain.vault,
      number: chain.signers.length,
      previous: toBase64url(sha256(last)),
      recipients: { ...chain.recipients, list: [list] },
      agentKey: toBase64url(chain.signers.at(-1) ?? new Uint8Array()),
      created: clock.now(),
    },
    makeSigningKey(kit.signingSeed).sign,
  )
}

const tellChain = async (parts: RecoverParts, ask: RecoverVault, chain: Chain): Promise<void> => {
  const { kit, source, tell } = parts
  const own = toBase64url(makeSigningKey(kit.signingSeed).publicKey)
  if (toBase64url(chain.organizationKey) !== own)
    throw fail('DAMAGED', {
      what: `The vault ${ask.vault}`,
      problem: 'it is of another organization than the kit',
    })
  const files = await filesOf(source, ask, chain)
  const last = files.at(-1)
  if (last === undefined || files.length !== chain.signers.length)
    throw fail('DAMAGED', { what: `The vault ${ask.vault}`, problem: 'its signers changed' })
  const next = nextSigner(parts, chain, [last.bytes, ask.list])
  await tell({
    do: 'chain',
    fingerprint: chain.fingerprint,
    signers: files.map(({ key }) => key),
    agent_key: toBase64url(chain.signers.at(-1) ?? new Uint8Array()),
    recipients: {
      content: [...chain.recipients.content],
      recovery: [...chain.recipients.recovery],
      list: [...chain.recipients.list],
    },
    next: next === null ? null : toBase64url(next),
  })
}

const tellProblem = async (
  { tell }: RecoverParts,
  key: string,
  { code, message }: Failure,
): Promise<void> => tell({ do: 'problem', key, code, message })

type Job = { readonly job: string; before: ReadonlySet<PackNo> }
/** Objects of the vault that were told already. */
type Told = Set<PackNo>

/** Tells those that are new, and answers all that the backup uses. */
const tellObjects = async (
  parts: RecoverParts,
  [vault, { body }]: readonly [OpenedVault, VaultBackup],
  told: Told,
): Promise<ReadonlySet<PackNo>> => {
  const used = new Set<PackNo>()
  const rows = objectsOf(vault.id, vault.objects, body)
  const fresh = async function* (): AsyncGenerator<Parameters<typeof lookAtObject>[2]> {
    for await (const row of rows) {
      used.add(row.pack)
      if (told.has(row.pack)) continue
      told.add(row.pack)
      yield row
    }
  }
  let together: Extract<FromReader, { do: 'objects' }>['objects'] = []
  const flush = async (): Promise<void> => {
    if (together.length > 0) await parts.tell({ do: 'objects', objects: together })
    together = []
  }
  const looks = ahead(fresh(), LOOKS, async (row) =>
    lookAtObject(parts.source, parts.identities, row),
  )
  for await (const { object, failure } of looks) {
    together.push(object)
    if (failure !== null) await tellProblem(parts, object.key, failure)
    if (together.length >= TOGETHER) await flush()
  }
  await flush()
  return used
}

const tellBackup = async (
  parts: RecoverParts,
  { key, sha256: hash, body }: VaultBackup,
  [added, removed]: readonly [readonly PackNo[], readonly PackNo[]],
): Promise<void> => {
  const { source, identities, tell } = parts
  const size = (await source.size(key)) ?? 0
  const bytes = await source.read(key, 0, size)
  if (toBase64url(sha256(bytes)) !== hash)
    throw fail('DAMAGED', { what: `The object ${key}`, problem: 'it changed meanwhile' })
  const { job, backup, sequence, host, sources, started, completed, counts, errors } = body
  await tell({
    do: 'backup',
    key,
    size,
    sha256: hash,
    header: toBase64url(bytes.subarray(0, preambleLength(bytes))),
    file_key: toBase64url(openHeader(bytes, identities, `the object ${key}`)),
    job,
    backup,
    sequence,
    hostname: host.hostname,
    sources: [...sources],
    started,
    completed,
    counts,
    bytes: body.bytes,
    error_count: errors.count,
    added: [...added],
    removed: [...removed],
  })
}

const isVaultFault = (error: unknown): error is Failure =>
  error instanceof Failure &&
  (error.code === 'DAMAGED' || error.code === 'MISSING_OBJECT' || error.code === 'UNSUPPORTED')

/** A backup whose structure cannot be read is named; what of it is there stays where it is. */
const recoverBackup = async (
  parts: RecoverParts,
  [vault, backup]: readonly [OpenedVault, VaultBackup],
  [job, told]: readonly [Job, Told],
): Promise<void> => {
  try {
    const used = await tellObjects(parts, [vault, backup], told)
    const added = [...used].filter((no) => !job.before.has(no))
    const removed = [...job.before].filter((no) => !used.has(no))
    await tellBackup(parts, backup, [added, removed])
    job.before = used
  } catch (error) {
    if (!isVaultFault(error)) throw error
    await tellProblem(parts, backup.key, error)
  }
}

const tellGap = async ({ tell }: RecoverParts, gap: Gap): Promise<void> => {
  const [first, last] = gap.gap === 'missing' ? [gap.first, gap.last] : [gap.sequence, gap.sequence]
  await tell({ do: 'gap', job: gap.job, gap: gap.gap, first, last })
}

/** Of two records with one number the first is taken; which was meant nobody can know. */
const inOrder = (backups: readonly VaultBackup[]): readonly VaultBackup[] =>
  backups.filter((one, i) => {
    const before = backups[i - 1]?.body
    return before?.job !== one.body.job || before.sequence !== one.body.sequence
  })

export const recoverVault = async (parts: RecoverParts, ask: RecoverVault): Promise<void> => {
  try {
    const vault = await openVault({
      source: parts.source,
      vault: ask.vault,
      keys: identityRing(parts.identities),
    })
    await tellChain(parts, ask, vault.chain)
    for (const { key, failure } of vault.problems) await tellProblem(parts, key, failure)
    if (vault.idKey instanceof Failure)
      await tellProblem(parts, `vaults/${ask.vault}/keys/`, vault.idKey)
    const told: Told = new Set()
    let job: Job = { job: '', before: new Set() }
    for (const backup of inOrder(vault.backups)) {
      if (backup.body.job !== job.job) job = { job: backup.body.job, before: new Set() }
      await recoverBackup(parts, [vault, backup], [job, told])
    }
    for (const gap of vault.gaps) await tellGap(parts, gap)
    await parts.tell({ do: 'end' })
  } catch (error) {
    const isWrong = hasCode(error, 'WRONG_KEY')
    if (!isWrong && !isVaultFault(error)) throw error
    await parts.tell({ do: 'end', problem: { code: error.code, message: error.message } })
  }
}
