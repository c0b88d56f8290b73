/** Reports about restores → use case → answer. PROTOCOL.md, the messages named `restore.…`, and beside them. */
import { CATALOGUE, fail } from '#shared/errors.ts'
import type { Order, Orders } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import type { NotedFile, RestoreReport } from '#shared/protocol/restore-reports.ts'
import { isFinal, restoreRun, type RunEvent, step } from '../../core/backup-machine.ts'
import type { RunLine } from '../../core/run-log.ts'
import type { Link } from '../../ports.ts'
import type { RestoreScope } from '../../ports/restores.ts'
import type { RestoreResult } from '../../ports/runs.ts'
import { type AgentParts, changeRun, freshId, leaseLost, storable } from '../agent-parts.ts'
import { takeProof } from '../open-requests/prove.ts'
import { openPacks } from './open-packs.ts'
import { heldRestore, restoreOf } from './restore-scope.ts'

type Ending = Reports['restore.finish' | 'restore.ended']
type Refusing = Reports['restore.refused' | 'restore.ended']

const saidBy = ({ problem }: Refusing): { code: string; message: string } => ({
  code: Object.hasOwn(CATALOGUE, problem.code) ? problem.code : 'INTERNAL_AGENT',
  message: storable(problem.message),
})

const moveOn = async (
  parts: AgentParts,
  link: Link,
  report: Reports['restore.accepted' | 'restore.refused'],
): Promise<null> => {
  const { restore } = await restoreOf(parts, link, report)
  const { epoch } = report
  const event: RunEvent =
    report.type === 'restore.accepted'
      ? { kind: 'accepted', epoch }
      : { kind: 'refused', epoch, problem: saidBy(report) }
  const settled = await changeRun(parts, restoreRun(restore), (run) => step(run, event))
  if (settled?.verdict === 'lost') throw leaseLost(report.run)
  return null
}

const eventOf = (report: Ending): RunEvent => {
  const { epoch } = report
  return report.type === 'restore.finish'
    ? { kind: 'finished', epoch, status: report.status }
    : { kind: 'ended', epoch, status: report.status, problem: saidBy(report) }
}

const resultOf = ({ counts, bytes_restored, bytes_fetched }: Ending): RestoreResult => ({
  counts,
  bytes_restored,
  bytes_fetched,
})

/** A restore that is over stays as it is, and its agent gets the same answer under any epoch. */
const end = async (parts: AgentParts, link: Link, report: Ending): Promise<Order> => {
  const { restore } = await restoreOf(parts, link, report)
  const event = eventOf(report)
  const settled = await changeRun(
    parts,
    restoreRun(restore),
    (run) => step(run, event),
    resultOf(report),
  )
  if (settled === null || !isFinal(settled.run)) throw leaseLost(report.run)
  return { type: 'restore.settled', id: freshId(parts), re: report.id, run: report.run }
}

const giveSelection = async (
  parts: AgentParts,
  link: Link,
  report: Reports['selection.request'],
): Promise<Order> => {
  const { restore } = await heldRestore(parts, link, report)
  const page = await parts.restores.selection(restore, report.page)
  if (page === null)
    throw fail('PROTOCOL_VIOLATION', {
      problem: `there is no page ${report.page} of what is wanted`,
    })
  const wanted: Orders['selection.given']['wanted'] = page.map(({ raw, glob }) => ({ raw, glob }))
  return { type: 'selection.given', id: freshId(parts), re: report.id, run: report.run, wanted }
}

const noteProgress = async (
  parts: AgentParts,
  link: Link,
  report: Reports['restore.progress'],
): Promise<null> => {
  const { restore } = await restoreOf(parts, link, report)
  const { phase, counts, bytes_restored, bytes_fetched, files_total, bytes_total } = report
  const progress = { phase, counts, bytes_restored, bytes_fetched, files_total, bytes_total }
  if (!(await parts.runs.progress(restoreRun(restore), report.epoch, progress)))
    throw leaseLost(report.run)
  return null
}

/** A line stays below 2,000 characters; the whole path is beside it. */
const MOST_SHOWN = 1000

const lineOf = ({ path, outcome, code, problem }: NotedFile): RunLine => ({
  level: outcome === 'failed' ? 'error' : 'info',
  message: storable(`${path.slice(0, MOST_SHOWN)}: ${outcome}: ${problem}`),
  fields: { path: storable(path), outcome, code: storable(code) },
})

const note = async (
  parts: AgentParts,
  { restore }: RestoreScope,
  report: Reports['restore.noted'],
): Promise<null> => {
  const lines = report.files.map(lineOf)
  if (!(await parts.runs.log(restoreRun(restore), report.epoch, lines))) throw leaseLost(report.run)
  return null
}

/** Exhaustive. `null`: the report has no answer. */
export const takeRestoreReport = async (
  parts: AgentParts,
  link: Link,
  report: RestoreReport,
): Promise<Order | null> => {
  switch (report.type) {
    case 'restore.accepted':
    case 'restore.refused':
      return moveOn(parts, link, report)
    case 'selection.request':
      return giveSelection(parts, link, report)
    case 'packs.request':
      return openPacks(parts, link, report)
    case 'restore.progress':
      return noteProgress(parts, link, report)
    case 'restore.noted':
      return note(parts, await restoreOf(parts, link, report), report)
    case 'restore.finish':
    case 'restore.ended':
      return end(parts, link, report)
    case 'open.proof':
      return takeProof(parts, link, report)
  }
}
