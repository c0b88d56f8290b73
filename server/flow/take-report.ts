/** Report → use case → answer. Exhaustive; whatever a use case throws becomes a `failed` answer. */
import { CATALOGUE, fail, Failure, problemOf } from '#shared/errors.ts'
import { parseId } from '#shared/ids.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report, Reports } from '#shared/protocol/reports.ts'
import { isAboutRestore } from '#shared/protocol/restore-reports.ts'
import { backupRun, isFinal, type RunEvent, step } from '../core/backup-machine.ts'
import type { Ms } from '#shared/units.ts'
import type { Link } from '../ports.ts'
import type { StoredEstimate } from '../ports/runs.ts'
import {
  type AgentParts,
  changeRun,
  freshId,
  leaseLost,
  problemFor,
  scopeOf,
  storable,
} from './agent-parts.ts'
import { finishCommit, stagePage } from './commit-backup.ts'
import { confirmObjects } from './confirm-objects.ts'
import { dropRecords } from './drop-records.ts'
import { giveGrants, giveNumbers } from './give-grants.ts'
import { openVault } from './open-vault.ts'
import { renewLeases } from './renew-leases.ts'
import { takeRestoreReport } from './restores/take-restore-report.ts'

/**
 * Requests that may take long, and whose order among each other means nothing: the agent waits for their answers where it
 * matters. All others are done one after the other, in the order in which they came.
 */
export const isSlow = (report: Report): boolean => SLOW.has(report.type)
const SLOW: ReadonlySet<Report['type']> = new Set([
  'grants.request',
  'objects.stored',
  'commit.finish',
  'packs.request',
])

type Beginning = Reports['backup.accepted' | 'backup.refused']

const eventOf = (report: Beginning): RunEvent => {
  const { epoch } = report
  return report.type === 'backup.accepted'
    ? { kind: 'accepted', epoch }
    : { kind: 'refused', epoch, problem: saidBy(report) }
}

const saidBy = ({
  problem,
}: Reports['backup.refused' | 'backup.ended']): { code: string; message: string } => ({
  code: Object.hasOwn(CATALOGUE, problem.code) ? problem.code : 'INTERNAL_AGENT',
  message: storable(problem.message),
})

const moveOn = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Beginning],
  stop: AbortSignal,
): Promise<null> => {
  const scope = await scopeOf(parts, link, report)
  const settled = await changeRun(parts, backupRun(scope.backup), (run) =>
    step(run, eventOf(report)),
  )
  if (settled?.verdict === 'lost') throw leaseLost(report.run)
  if (settled !== null && isFinal(settled.run)) await dropRecords(parts, scope, stop)
  return null
}

/** A run that is over stays as it is, and its agent gets the same answer under any epoch. */
const end = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Reports['backup.ended']],
  stop: AbortSignal,
): Promise<Order> => {
  const scope = await scopeOf(parts, link, report)
  const { epoch, status } = report
  const event: RunEvent = { kind: 'ended', epoch, status, problem: saidBy(report) }
  const settled = await changeRun(parts, backupRun(scope.backup), (run) => step(run, event))
  if (settled === null || !isFinal(settled.run)) throw leaseLost(report.run)
  if (settled.verdict === 'changed') await dropRecords(parts, scope, stop)
  return { type: 'backup.settled', id: freshId(parts), re: report.id, run: report.run }
}

const estimateAt = (said: Reports['progress']['estimate'], now: Ms): StoredEstimate | null => {
  if (said === undefined) return null
  const { share, rate, left, revisions } = said
  return { share, rate, revisions, ends: left === null ? null : [now + left[0], now + left[1]] }
}

const noteProgress = async (
  parts: AgentParts,
  link: Link,
  report: Reports['progress'],
): Promise<null> => {
  const { backup } = await scopeOf(parts, link, report)
  const { phase, counts, bytes_source, bytes_read, bytes_new, bytes_stored } = report
  const said = { phase, counts, bytes_source, bytes_read, bytes_new, bytes_stored }
  const estimate = estimateAt(report.estimate, parts.clock.now())
  const progress = estimate === null ? said : { ...said, estimate }
  if (!(await parts.runs.progress(backupRun(backup), report.epoch, progress)))
    throw leaseLost(report.run)
  return null
}

const noteLog = async (parts: AgentParts, link: Link, report: Reports['log']): Promise<null> => {
  const held = await parts.runs.find(parseId(report.run, 'run'), link.server)
  if (held === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'run', id: report.run })
  const { level } = report
  const message = storable(report.message)
  if (!(await parts.runs.log(held.of, report.epoch, [{ level, message }])))
    throw leaseLost(report.run)
  return null
}

const take = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Report],
  stop: AbortSignal,
): Promise<Order | null> => {
  if (isAboutRestore(report)) return takeRestoreReport(parts, link, report)
  switch (report.type) {
    case 'backup.accepted':
    case 'backup.refused':
      return moveOn(parts, [link, report], stop)
    case 'backup.ended':
      return end(parts, [link, report], stop)
    case 'vault.opened':
      return openVault(parts, [link, report], stop)
    case 'numbers.request':
      return giveNumbers(parts, link, report)
    case 'grants.request':
      return giveGrants(parts, link, report)
    case 'objects.stored':
      return confirmObjects(parts, [link, report], stop)
    case 'progress':
      return noteProgress(parts, link, report)
    case 'commit.page':
      return stagePage(parts, link, report)
    case 'commit.finish':
      return finishCommit(parts, [link, report], stop)
    case 'heartbeat':
      return renewLeases(parts, [link, report], stop)
    case 'log':
      return noteLog(parts, link, report)
  }
}

/** Never throws: the answer of a report that was not done is `failed`. `null`: it has none. */
export const takeReport = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Report],
  stop: AbortSignal,
): Promise<Order | null> => {
  try {
    return await take(parts, [link, report], stop)
  } catch (error) {
    const problem = problemFor(error)
    const fields = { server: link.server, report: report.type, code: problem.code }
    if (error instanceof Failure)
      parts.log.warn({ ...fields, problem: error.message }, 'a report was refused')
    else parts.log.error({ ...fields, problem: problemOf(error) }, 'a report failed')
    return { type: 'failed', id: freshId(parts), re: report.id, problem }
  }
}
