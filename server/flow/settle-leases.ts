/** Leases and deadlines that are over: a complete commit is finished, else the run is detached, or has failed. */
import { describe, problemOf } from '#shared/errors.ts'
import type { BackupId, ServerId } from '#shared/ids.ts'
import { backupRun, restoreRun, type RunRef, step } from '../core/backup-machine.ts'
import { MISSED_BEATS } from '#shared/protocol/session.ts'
import type { RunScope, Settled } from '../ports/runs.ts'
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

const settleBackup = async (
  parts: AgentParts,
  [backup, server]: readonly [BackupId, ServerId],
  stop: AbortSignal,
): Promise<void> => {
  const scope = await parts.runs.scope(backup, server)
  if (scope === null || (await tryToComplete(parts, scope, stop))) return
  const settled = await tick(parts, backupRun(backup))
  if (settled?.run.at === 'failed') await dropRecords(parts, scope, stop)
}

const tick = async (parts: AgentParts, of: RunRef): Promise<Settled | null> =>
  changeRun(parts, of, (run, now) => step(run, { kind: 'tick', now }))

/** Restores whose open request was not approved in its time. */
const failUnopened = async (parts: AgentParts): Promise<void> => {
  const details = { problem: 'the open request was not approved in its time' }
  const problem = { code: 'KEY_REQUIRED', message: describe('KEY_REQUIRED', details) }
  for (const restore of await parts.restores.unopened(AT_ONCE))
    await changeRun(parts, restoreRun(restore), (run) => step(run, { kind: 'unopened', problem }))
}

/** Any number of replicas may call it; each run is decided under its row's lock. */
export const settleLeases = async (parts: AgentParts, stop: AbortSignal): Promise<void> => {
  for (const { of, server } of await parts.runs.overdue(AT_ONCE)) {
    if (of.kind === 'backup') await settleBackup(parts, [of.id, server], stop)
    else await tick(parts, of)
  }
  await failUnopened(parts)
  await parts.agents.expire((MISSED_BEATS + 1) * parts.timing.heartbeat)
}
