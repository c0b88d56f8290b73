/** A person's wish to have one backup wait, and to let it go on. */
import type { Backup } from '#shared/api/backups.ts'
import { fail } from '#shared/errors.ts'
import { type BackupId, parseId } from '#shared/ids.ts'
import { backupRun, step } from '../core/backup-machine.ts'
import type { Caller } from '../core/caller.ts'
import type { Backups } from '../ports.ts'
import { type AgentParts, changeRun, freshId } from './agent-parts.ts'
import { found } from './found.ts'

export type PauseParts = Pick<AgentParts, 'runs' | 'log' | 'links' | 'clock' | 'random' | 'timing'>

type Wish = 'pause' | 'resume'

/**
 * Where the agent is connected here it hears it at once, else with its next heartbeat's answer. One that is over, or that is
 * to be canceled, cannot be paused: `INVALID_STATE`. Asked twice, it is done once.
 */
export const pauseBackup = async (
  { backups, agents }: { readonly backups: Backups; readonly agents: PauseParts },
  caller: Caller,
  [id, wish]: readonly [string, Wish],
): Promise<Backup> =>
  found('backup', id, async (backup: BackupId) => {
    const known = await backups.get(caller, backup)
    if (known === null) return null
    const settled = await changeRun(agents, backupRun(backup), (run, now) =>
      step(
        run,
        wish === 'pause'
          ? { kind: wish, now, until: now + agents.timing.longestPause }
          : { kind: wish, now },
      ),
    )
    if (settled === null) return null
    const { run, verdict } = settled
    if (verdict === 'not-now')
      throw fail('INVALID_STATE', {
        resource: 'The backup',
        id: backup,
        status: run.at === 'running' ? 'about to be canceled' : run.at,
      })
    const link = agents.links.get(parseId(known.server_id, 'server_id'))
    if (verdict === 'changed' && run.at === 'running' && link !== null)
      link.send({ type: `backup.${wish}`, id: freshId(agents), run: backup, epoch: run.epoch })
    return backups.get(caller, backup)
  })
