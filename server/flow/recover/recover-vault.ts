/** One vault of a bucket → its rows. What a reader with the kit verified is looked at once more where it lies, then noted. */
import { fail, hasCode } from '#shared/errors.ts'
import { makeIdentity } from '#shared/format/keys.ts'
import { parseKey, signerKey } from '#shared/format/layout.ts'
import { MAX_FILE } from '#shared/format/signers.ts'
import type { OrgId, StorageId, VaultId } from '#shared/ids.ts'
import { MOST_READ, type RecoverBackup, type RecoverChain } from '#shared/protocol/recovery.ts'
import type { Clock, Log, Random } from '#shared/world.ts'
import type { VaultStore } from '../../ports.ts'
import type {
  AnswerRead,
  Found,
  FoundObject,
  OwnFile,
  Recovery,
  RecoveryReader,
  VaultRows,
} from '../../ports/recovery.ts'
import { eachOf } from '../agent-parts.ts'
import { patiently } from '../read-backup.ts'
import { waiter } from '../reading/open-content.ts'

export type RecoverParts = {
  readonly reader: RecoveryReader
  readonly recovery: Recovery
  readonly store: VaultStore
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export type Lost = { readonly key: string; readonly code: string; readonly message: string }
export type Gap = Omit<Extract<Found, { do: 'gap' }>, 'do'>

/** What became of one vault. Of problems the first are kept, all are counted. */
export type VaultReport = {
  readonly vault: string
  fingerprint: string | null
  backups: number
  objects: number
  bytes: number
  /** The newest backup of each job: what is missing after it nobody here can know. */
  readonly last: Map<string, number>
  problem_count: number
  readonly problems: Lost[]
  readonly gaps: Gap[]
}

export type Place = {
  readonly organization: OrgId
  readonly storage: StorageId
  readonly vault: VaultId
  /** Signers, secrets and records, as the storage lists them. */
  readonly keys: readonly string[]
}

const MOST_PROBLEMS = 100
const MOST_GAPS = 1000
/** HEADs at once. */
const LOOKS = 16
const MAX_SECRET = 64 * 1024

type Work = {
  readonly parts: RecoverParts
  readonly place: Place
  readonly report: VaultReport
  readonly rows: VaultRows
  readonly stop: AbortSignal
  readonly told: (report: VaultReport) => void
}

const patient =
  ({ parts, stop }: Pick<Work, 'parts' | 'stop'>) =>
  async <T>(work: () => Promise<T>): Promise<T> =>
    patiently(waiter(parts, stop), work)

/** Only of this vault, and no more than a reader has use for. */
const answerTo =
  (work: Pick<Work, 'parts' | 'place' | 'stop'>): AnswerRead =>
  async (key, { start, end }) => {
    const { parts, place, stop } = work
    const parsed = parseKey(key)
    const isOurs = parsed !== null && 'vault' in parsed && parsed.vault === place.vault
    if (!isOurs || end < start || end - start > MOST_READ)
      throw fail('PROTOCOL_VIOLATION', { problem: 'the reader asks for what it has no use for' })
    return patient(work)(async () => {
      if (end === start) {
        const found = await parts.store.head(key, stop)
        return found === null ? null : { bytes: new Uint8Array(), size: found.size }
      }
      const bytes = await parts.store.get(key, { start, end }, stop)
      return bytes === null ? null : { bytes, size: bytes.length }
    })
  }

const note = ({ report, parts }: Work, problem: Lost): void => {
  report.problem_count += 1
  if (report.problems.length < MOST_PROBLEMS) report.problems.push(problem)
  parts.log.warn({ vault: report.vault, ...problem }, 'something of a vault cannot be recovered')
}

const readOwn = async (
  work: Work,
  [key, kind, no]: readonly [string, OwnFile['kind'], number],
): Promise<OwnFile | null> => {
  const { parts, stop } = work
  return patient(work)(async () => {
    const found = await parts.store.head(key, stop)
    if (found === null || found.size > MAX_SECRET) return null
    const bytes = await parts.store.get(key, { start: 0, end: found.size }, stop)
    return bytes === null ? null : { kind, no, key, bytes, etag: found.etag }
  })
}

/** In the bucket before it is in the catalog: a crash between them leaves a signer more, which the next recovery goes on from. */
const writeSigner = async (work: Work, no: number, bytes: Uint8Array): Promise<OwnFile> => {
  const { parts, place, stop } = work
  if (bytes.length > MAX_FILE) throw fail('LIMIT_EXCEEDED', { limit: MAX_FILE, what: 'bytes' })
  const key = signerKey(place.vault, no, Buffer.from(parts.random(16)).toString('hex'))
  const put = await patient(work)(async () => parts.store.put(key, bytes, { ifAbsent: true }, stop))
  if (put === 'exists') throw fail('CONFLICT', { problem: `the object ${key} is there already` })
  return { kind: 'signer', no, key, bytes, etag: put.etag }
}

const takeChain = async (work: Work, chain: RecoverChain): Promise<void> => {
  const { place, report, rows } = work
  report.fingerprint = chain.fingerprint
  const own: OwnFile[] = []
  for (const [no, key] of chain.signers.entries()) {
    const file = await readOwn(work, [key, 'signer', no])
    if (file === null) throw fail('MISSING_OBJECT', { key })
    own.push(file)
  }
  if (chain.next !== null) {
    const bytes = new Uint8Array(Buffer.from(chain.next, 'base64url'))
    own.push(await writeSigner(work, chain.signers.length, bytes))
  }
  for (const key of place.keys) {
    const parsed = parseKey(key)
    if (parsed?.kind !== 'key') continue
    const file = await readOwn(work, [key, 'key', parsed.no])
    if (file !== null) own.push(file)
  }
  await rows.chain(chain, own)
}

const takeObjects = async (
  work: Work,
  { objects }: Extract<Found, { do: 'objects' }>,
): Promise<void> => {
  const { parts, report, rows, stop } = work
  const found = await eachOf(objects, LOOKS, async (object): Promise<FoundObject> => {
    const there = await patient(work)(async () => parts.store.head(object.key, stop))
    if (object.header !== null && there?.size !== object.size)
      note(work, { key: object.key, code: 'DAMAGED', message: 'its size is not the signed one' })
    return { ...object, etag: there?.size === object.size ? there.etag : null }
  })
  report.objects += found.length
  report.bytes += found.reduce((sum, { size }) => sum + size, 0)
  await rows.objects(found)
}

const takeBackup = async (work: Work, backup: RecoverBackup): Promise<void> => {
  const { parts, report, rows, stop } = work
  const there = await patient(work)(async () => parts.store.head(backup.key, stop))
  if (there?.size !== backup.size) {
    note(work, { key: backup.key, code: 'MISSING_OBJECT', message: 'it vanished meanwhile' })
    return
  }
  if (!(await rows.backup(backup, there.etag))) {
    const message = 'a backup of another vault has its id'
    note(work, { key: backup.key, code: 'CONFLICT', message })
    return
  }
  report.backups += 1
  report.last.set(backup.job, Math.max(backup.sequence, report.last.get(backup.job) ?? 0))
}

const take = async (work: Work, found: Found): Promise<void> => {
  work.stop.throwIfAborted()
  switch (found.do) {
    case 'chain':
      await takeChain(work, found)
      break
    case 'objects':
      await takeObjects(work, found)
      break
    case 'backup':
      await takeBackup(work, found)
      break
    case 'problem':
      note(work, { key: found.key, code: found.code, message: found.message })
      break
    case 'gap': {
      const { job, gap, first, last } = found
      if (work.report.gaps.length < MOST_GAPS) work.report.gaps.push({ job, gap, first, last })
    }
  }
  work.told(work.report)
}

export const newReport = (vault: string): VaultReport => ({
  vault,
  fingerprint: null,
  backups: 0,
  objects: 0,
  bytes: 0,
  last: new Map(),
  problem_count: 0,
  problems: [],
  gaps: [],
})

/** Nothing of it is in the catalog where nothing of it can be believed: then only the report says that it is there. */
class Unbelieved extends Error {}

export const recoverVault = async (
  parts: RecoverParts,
  place: Place,
  [told, stop]: readonly [(report: VaultReport) => void, AbortSignal],
): Promise<VaultReport> => {
  const report = newReport(place.vault)
  const { organization, storage, vault, keys } = place
  const known = await parts.recovery.listRecipient(organization, vault)
  const identity = makeIdentity(parts.random(32))
  const list = known ?? identity.recipient.text
  const of = { organization, storage, vault, identity: identity.text }
  try {
    await parts.recovery.vault(of, async (rows) => {
      const work = { parts, place, report, rows, stop, told }
      const ask = { vault, keys: [...keys], list }
      const end = await parts.reader.vault(ask, answerTo(work), async (found) => take(work, found))
      if (end.problem !== undefined) {
        note(work, { key: `vaults/${vault}`, ...end.problem })
        throw new Unbelieved()
      }
      await rows.finish({ unread: report.problem_count > 0 })
    })
  } catch (error) {
    if (hasCode(error, 'CANCELED') || !(error instanceof Unbelieved)) throw error
    return { ...report, backups: 0 }
  }
  return report
}
