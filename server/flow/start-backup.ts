/** Asks for a backup of a job now. It is only a pending row; the dispatcher gives it to the agent when it can. */
import type { Backup, BackupInput } from '#shared/api/backups.ts'
import { fail } from '#shared/errors.ts'
import type { BackupId, JobId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { Backups, Jobs } from '../ports.ts'
import { found, foundId } from './found.ts'

export type StartBackupParts = {
  readonly jobs: Jobs
  readonly backups: Backups
  /** Tells the dispatcher that there is work; loses nothing if nobody listens, since it also looks by itself. */
  wakeDispatcher(): void
}

/** Throws `RESOURCE_NOT_FOUND`, `JOB_VERSION_NOT_FOUND`, or `OPERATION_IN_PROGRESS` with the id of the backup that is not over. */
export const startBackup = async (
  parts: StartBackupParts,
  caller: Caller,
  wanted: BackupInput & { readonly job: string },
): Promise<Backup> => {
  const job = await foundId('job', wanted.job, async (id: JobId) => parts.jobs.get(caller, id))
  const outcome = await parts.backups.start(caller, {
    job,
    name: wanted.name ?? wanted.label ?? 'Manual backup',
    description: wanted.description ?? null,
    external_id: wanted.external_id ?? null,
    label: wanted.label ?? null,
    tags: [...new Set(wanted.tags ?? (['manual'] as const))],
    version: wanted.version ?? null,
  })
  if ('running' in outcome)
    throw fail('OPERATION_IN_PROGRESS', {
      operation: 'backup',
      resource: 'job',
      id: outcome.running,
      job_id: job,
    })
  parts.wakeDispatcher()
  return found('backup', outcome.started, async (id: BackupId) => parts.backups.get(caller, id))
}
