/** A person's wish to stop one restore. */
import type { Restore } from '#shared/api/restores.ts'
import { fail } from '#shared/errors.ts'
import { parseId, type RestoreId } from '#shared/ids.ts'
import { restoreRun } from '../../core/backup-machine.ts'
import type { Caller } from '../../core/caller.ts'
import type { Restores } from '../../ports/restores.ts'
import { cancelRun, type CancelParts } from '../cancel-run.ts'
import { found } from '../found.ts'

/** Throws `INVALID_STATE` for one that is over. What stands under its name by then stays. */
export const cancelRestore = async (
  { restores, agents }: { readonly restores: Restores; readonly agents: CancelParts },
  caller: Caller,
  id: string,
): Promise<Restore> =>
  found('restore', id, async (restore: RestoreId) => {
    const known = await restores.get(caller, restore)
    if (known === null) return null
    const server = parseId<'server'>(known.compute.id, 'server_id')
    const settled = await cancelRun(agents, restoreRun(restore), server)
    if (settled?.verdict === 'not-now')
      throw fail('INVALID_STATE', {
        resource: 'The restore',
        id: restore,
        status: settled.run.at,
      })
    return restores.get(caller, restore)
  })
