/** Which backup of a vault is meant. */
import { type Failure, fail } from '#shared/errors.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { RecordBody } from '#shared/format/record.ts'

type Backup = { readonly key: string; readonly body: RecordBody }

export type Choice = {
  /** A backup's id, the newest, or each of them. */
  readonly backup: string
  readonly job?: string
}

export const LATEST = 'latest'
export const ALL = 'all'

type Unusable = { readonly key: string; readonly failure: Failure }

/**
 * The backups meant, of those that are verified, by job and ascending sequence. `RESOURCE_NOT_FOUND` where there is
 * none, or what is wrong with its record; `WRONG_USE` where "the newest" could be that of several jobs.
 */
export const chooseBackups = <B extends Backup>(
  { backups, problems }: { readonly backups: readonly B[]; readonly problems: readonly Unusable[] },
  choice: Choice,
): B[] => {
  const { job } = choice
  const ofJob = job === undefined ? backups : backups.filter(({ body }) => body.job === job)
  if (choice.backup === ALL) return [...ofJob]
  if (choice.backup !== LATEST) {
    const one = ofJob.find(({ body }) => body.backup === choice.backup)
    const broken = problems.find(({ key }) => isRecordOf(key, choice.backup))
    if (one === undefined && broken !== undefined) throw broken.failure
    if (one === undefined)
      throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: choice.backup })
    return [one]
  }
  const jobs = [...new Set(ofJob.map(({ body }) => body.job))]
  if (jobs.length > 1) {
    throw fail('WRONG_USE', {
      problem: `the vault holds several jobs: name one of ${jobs.join(', ')} with --job`,
    })
  }
  const newest = ofJob.at(-1)
  if (newest === undefined)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: job ?? LATEST })
  return [newest]
}

const isRecordOf = (key: string, backup: string): boolean => {
  const parsed = parseKey(key)
  return parsed?.kind === 'record' && parsed.backup === backup
}

const MINUTE = 60_000

/** Keys of records that cannot be used and may be newer than the one that was taken for the newest. */
export const perhapsNewer = (taken: Backup, unusable: readonly string[]): readonly string[] =>
  unusable.filter((key) => {
    const parsed = parseKey(key)
    return parsed?.kind === 'record' && parsed.time + MINUTE > taken.body.started
  })
