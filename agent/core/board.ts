/** What `status` shows of the runs under way: read from what each of them tells the control plane. */
import type { Order } from '#shared/protocol/orders.ts'
import type { Report, Reports } from '#shared/protocol/reports.ts'
import type { Ms } from '#shared/units.ts'
import type { RunNow } from './status.ts'
import type { Ending, Last } from './outcomes.ts'

/** A run as it was ordered. */
export type Ordered = {
  readonly run: string
  readonly kind: 'backup' | 'restore'
  /** Null of a restore. */
  readonly job: string | null
  readonly name: string
}

export type Ended = { readonly ordered: Ordered; readonly last: Last }

export type Board = {
  /** False when it is there already. */
  start(ordered: Ordered, at: Ms): boolean
  /** `answer`: null before there is one, and of what has none. Says how a run ended, once. */
  said(report: Report, answer: Order | null, at: Ms): Ended | null
  /** It is paused, or goes on. */
  hold(run: string, paused: boolean): void
  /** It is not this agent's any more. */
  lost(run: string, at: Ms): Ended | null
  /** Forgets all others. */
  keep(runs: readonly { readonly run: string }[]): void
  readonly runs: () => readonly RunNow[]
}

type Held = {
  readonly ordered: Ordered
  readonly began: Ms
  phase: RunNow['phase']
  files: number
  bytes: number
  over: boolean
  paused: boolean
}

type Verdict = { readonly status: Ending; readonly problem: Last['problem'] }

const withProblem = (
  status: Ending,
  { problem }: Pick<Reports['backup.ended'], 'problem'>,
): Verdict => ({ status, problem: { code: problem.code, message: problem.message } })

/** How the run is over by this report and its answer; null while it goes on. */
const verdictOf = (report: Report, answer: Order | null): Verdict | null => {
  if (report.type === 'commit.finish' && answer?.type === 'commit.done')
    return { status: report.error_count > 0 ? 'partial' : 'completed', problem: null }
  if (report.type === 'restore.finish') return { status: report.status, problem: null }
  if (report.type === 'backup.ended' || report.type === 'restore.ended')
    return withProblem(report.status, report)
  if (report.type === 'backup.refused' || report.type === 'restore.refused')
    return withProblem('refused', report)
  return null
}

const noteProgress = (held: Held, report: Report): void => {
  if (report.type === 'progress')
    Object.assign(held, {
      phase: report.phase,
      files: report.counts.files,
      bytes: report.bytes_source,
    })
  if (report.type === 'restore.progress')
    Object.assign(held, {
      phase: report.phase,
      files: report.counts.files,
      bytes: report.bytes_restored,
    })
}

export const createBoard = (): Board => {
  const held = new Map<string, Held>()
  const end = (one: Held | undefined, { status, problem }: Verdict, at: Ms): Ended | null => {
    if (one === undefined || one.over) return null
    one.over = true
    // It is listed until the control plane has heard of its end.
    one.phase = 'ending'
    return { ordered: one.ordered, last: { run: one.ordered.run, status, at, problem } }
  }
  return {
    start: (ordered, at) => {
      if (held.has(ordered.run)) return false
      held.set(ordered.run, {
        ordered,
        began: at,
        phase: 'waiting',
        files: 0,
        bytes: 0,
        over: false,
        paused: false,
      })
      return true
    },
    said: (report, answer, at) => {
      const one = 'run' in report ? held.get(report.run) : undefined
      if (one === undefined || one.over) return null
      noteProgress(one, report)
      const verdict = verdictOf(report, answer)
      return verdict === null ? null : end(one, verdict, at)
    },
    hold: (run, paused) => {
      const one = held.get(run)
      if (one !== undefined) one.paused = paused
    },
    lost: (run, at) => end(held.get(run), { status: 'lost', problem: null }, at),
    keep: (runs) => {
      const kept = new Set(runs.map(({ run }) => run))
      for (const run of held.keys()) if (!kept.has(run)) held.delete(run)
    },
    runs: () =>
      [...held.values()].map(({ ordered, began, phase, files, bytes, paused }) => ({
        ...ordered,
        began,
        phase,
        files,
        bytes,
        ...(paused ? { paused } : {}),
      })),
  }
}
