/** A person's wish to stop one backup. */
import type { Backup } from '#shared/api/backups.ts'
import { fail } from '#shared/errors.ts'
import { type BackupId, parseId } from '#shared/ids.ts'
import { backupRun } from '../core/backup-machine.ts'
import type { Caller } from '../core/caller.ts'
import type { Backups } from '../ports.ts'
import { cancelRun, type CancelParts } from './cancel-run.ts'
import { found } from './found.ts'

/** Throws `INVALID_STATE` for one that is over. */
export const cancelBackup = async (
  { backups, agents }: { readonly backups: Backups; readonly agents: CancelParts },
  caller: Caller,
  id: string,
): Promise<Backup> =>
  found('backup', id, async (backup: BackupId) => {
    const known = await backups.get(caller, backup)
    if (known === null) return null
    const settled = await cancelRun(
      agents,
      backupRun(backup),
      parseId(known.server_id, 'server_id'),
    )
    if (settled?.verdict === 'not-now')
      throw fail('INVALID_STATE', {
        resource: 'The backup',
        id: backup,
        status: settled.run.at,
      })
    return backups.get(caller, backup)
  })
