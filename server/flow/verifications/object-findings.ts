/** What the damaged objects of a verification mean, in words: which files of the backup and which other backups need them. */
import type { Finding, VerificationResult } from '#shared/api/findings.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { Checkpoint, Damaged } from '../../core/verification/checkpoint.ts'
import type { StoredObjects } from '../../ports/verifications.ts'
import type { ReadBackup } from '../read-backup.ts'
import { type Affected, affectedBy } from './affected.ts'

/** As many are told; the others are counted. */
const MOST_FINDINGS = 100
const MOST_BACKUPS = 20

type Parts = { readonly storedObjects: StoredObjects }
type Found = Pick<VerificationResult, 'problem_count' | 'problems'>

/** Every file of the vault secret holds the same one: only all of them together are the end of it. */
const withSecrets = async (
  { storedObjects }: Parts,
  { committed }: ReadBackup,
  damaged: readonly Damaged[],
): Promise<readonly Damaged[]> => {
  const bad = new Set(damaged.map(({ key }) => key))
  const secrets = (await storedObjects.own(committed)).filter((one) => one.class === 'key')
  const isLost = secrets.every(({ key }) => bad.has(key))
  const keys = new Set(secrets.map(({ key }) => key))
  return damaged.map((one) => (keys.has(one.key) ? { ...one, whole: isLost } : one))
}

const usersOf = async (
  { storedObjects }: Parts,
  { vault, backup }: ReadBackup['committed'],
  { no, key, whole }: Damaged,
): ReturnType<StoredObjects['users']> => {
  const kind = parseKey(key)?.kind
  if (kind === 'record') return { first: [backup], total: 1 }
  if (kind === 'key' && !whole) return { first: [], total: 0 }
  return storedObjects.users(vault, no, MOST_BACKUPS)
}

const aboutObject = async (
  { storedObjects }: Parts,
  { committed }: ReadBackup,
  [one, users]: readonly [Damaged, Affected['users']],
): Promise<Finding> => {
  const { no, key, code, problem, whole } = one
  const backups = await usersOf({ storedObjects }, committed, one)
  const files = no === null ? undefined : users.get(no)
  return {
    ...(whole ? { path: '/', to: null } : { path: null }),
    code,
    problem,
    object: key,
    ...(files === undefined ? {} : { files: files.first, file_count: files.count }),
    backups: [...backups.first],
    backup_count: backups.total,
  }
}

export const findingsOf = async (
  parts: Parts,
  backup: ReadBackup,
  stand: Pick<Checkpoint, 'damaged' | 'damaged_count'>,
): Promise<Found> => {
  if (stand.damaged_count === 0) return { problem_count: 0, problems: [] }
  const damaged = await withSecrets(parts, backup, stand.damaged)
  const nos = new Set(damaged.flatMap(({ no }) => (no === null ? [] : [no])))
  const most = Math.max(0, MOST_FINDINGS - damaged.length)
  const affected =
    nos.size === 0
      ? { users: new Map(), findings: [], count: 0 }
      : await affectedBy({ backup, damaged: nos, most })
  const problems: Finding[] = []
  for (const one of damaged) problems.push(await aboutObject(parts, backup, [one, affected.users]))
  return {
    problem_count: stand.damaged_count + affected.count,
    problems: [...problems, ...affected.findings],
  }
}
