/** A person's wish to stop a backup: at once while it waits; through its agent while it runs. */
import { describe } from '#shared/errors.ts'
import type { BackupId, ServerId } from '#shared/ids.ts'
import { step } from '../core/backup-machine.ts'
import type { Settled } from '../ports.ts'
import { type AgentParts, changeRun, freshId } from './agent-parts.ts'

/** `null` where there is no such backup; verdict `not-now` for one that is over. The agent hears it at once, or at its next heartbeat. */
export const cancelBackup = async (
  parts: AgentParts,
  of: { readonly backup: BackupId; readonly server: ServerId },
): Promise<Settled | null> => {
  const problem = { code: 'CANCELED', message: describe('CANCELED', {}) }
  const settled = await changeRun(parts, of.backup, (run) => step(run, { kind: 'cancel', problem }))
  if (settled?.run.at === 'running')
    parts.links.get(of.server)?.send({
      type: 'backup.cancel',
      id: freshId(parts),
      run: of.backup,
      epoch: settled.run.epoch,
    })
  return settled
}
