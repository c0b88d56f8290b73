/** A person's wish to stop a run: at once while it waits; through its agent while it is worked on. */
import { describe } from '#shared/errors.ts'
import type { ServerId } from '#shared/ids.ts'
import { type RunRef, step } from '../core/backup-machine.ts'
import type { Link } from '../ports.ts'
import type { Settled } from '../ports/runs.ts'
import { type AgentParts, changeRun, freshId } from './agent-parts.ts'

export const sendCancel = (
  parts: Pick<AgentParts, 'clock' | 'random'>,
  link: Link,
  [of, epoch]: readonly [RunRef, number],
): void => {
  const type = of.kind === 'backup' ? ('backup.cancel' as const) : ('restore.cancel' as const)
  link.send({ type, id: freshId(parts), run: of.id, epoch })
}

export type CancelParts = Pick<AgentParts, 'runs' | 'log' | 'links' | 'clock' | 'random'>

/** `null` where there is no such run; verdict `not-now` for one that is over. The agent hears it at once, or at its next heartbeat. */
export const cancelRun = async (
  parts: CancelParts,
  of: RunRef,
  server: ServerId,
): Promise<Settled | null> => {
  const problem = { code: 'CANCELED', message: describe('CANCELED', {}) }
  const settled = await changeRun(parts, of, (run, now) =>
    step(run, { kind: 'cancel', problem, now }),
  )
  const link = parts.links.get(server)
  if (settled?.run.at === 'running' && link !== null)
    sendCancel(parts, link, [of, settled.run.epoch])
  return settled
}
