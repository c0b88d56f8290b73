/** Leases and deadlines that are over: a complete commit is finished, else the run is detached, or has failed. */
import { problemOf } from '#shared/errors.ts'
import { step } from '../core/backup-machine.ts'
import { MISSED_BEATS } from '#shared/protocol/session.ts'
import type { RunScope } from '../ports.ts'
import { type AgentParts, changeRun } from './agent-parts.ts'
import { completeAbandoned } from './commit-backup.ts'
import { dropRecords } from './drop-records.ts'

const AT_ONCE = 100

/** A store that cannot be reached now keeps nobody from being detached: the commit can be finished later. */
const tryToComplete = async (
  parts: AgentParts,
  scope: RunScope,
  stop: AbortSignal,
): Promise<boolean> => {
  try {
    return await completeAbandoned(parts, scope, stop)
  } catch (error) {
    parts.log.warn(
      { backup: scope.backup, problem: problemOf(error) },
      'cannot finish an abandoned commit',
    )
    return false
  }
}

/** Any number of replicas may call it; each run is decided under its row's lock. */
export const settleLeases = async (parts: AgentParts, stop: AbortSignal): Promise<void> => {
  for (const scope of await parts.runs.overdue(AT_ONCE)) {
    if (await tryToComplete(parts, scope, stop)) continue
    const settled = await changeRun(parts, scope.backup, (run, now) =>
      step(run, { kind: 'tick', now }),
    )
    if (settled?.run.at === 'failed') await dropRecords(parts, scope, stop)
  }
  await parts.agents.expire((MISSED_BEATS + 1) * parts.timing.heartbeat)
}
