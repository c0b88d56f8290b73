/** Watches the runs for `status`: what is under way, and, in outcomes.json, how the last backup of each job ended. */
import { problemOf } from '#shared/errors.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { createBoard, type Ended, type Ordered } from '../core/board.ts'
import {
  cutOff,
  type Outcomes,
  readOutcomes,
  withBegun,
  withLast,
  writeOutcomes,
} from '../core/outcomes.ts'
import type { RunNow } from '../core/status.ts'
import type { StateFolder, World } from '../ports.ts'
import type { Worker } from './link.ts'
import type { Hear } from './run-link.ts'

export const OUTCOMES = 'outcomes.json'

export type Watch = {
  /** The same worker, watched. */
  readonly over: (worker: Worker) => Worker
  readonly hear: Hear
  readonly runs: () => readonly RunNow[]
}

type Parts = { readonly state: StateFolder; readonly world: World }

/** Whatever is wrong with that file, backups go on. */
const load = ({ state, world }: Parts): Outcomes => {
  try {
    const written = readOutcomes(state.read(OUTCOMES))
    const outcomes = cutOff(written)
    if (written.some(({ begun }) => begun !== null))
      state.replace(OUTCOMES, writeOutcomes(outcomes))
    return outcomes
  } catch (error) {
    world.log.warn({ problem: problemOf(error) }, 'the outcomes of earlier backups are unknown')
    return []
  }
}

const orderedBy = (order: BackupStart | RestoreStart): Ordered =>
  order.type === 'backup.start'
    ? { run: order.run, kind: 'backup', job: order.job, name: order.job_name }
    : { run: order.run, kind: 'restore', job: null, name: order.job_name }

export const createWatch = (parts: Parts): Watch => {
  const { state, world } = parts
  const board = createBoard()
  let outcomes = load(parts)
  const keep = (next: Outcomes): void => {
    outcomes = next
    try {
      state.replace(OUTCOMES, writeOutcomes(outcomes))
    } catch (error) {
      world.log.warn({ problem: problemOf(error) }, 'the outcome of a backup is not kept')
    }
  }
  const note = (ended: Ended | null): void => {
    if (ended === null) return
    const { job, name } = ended.ordered
    if (job !== null) keep(withLast(outcomes, { job, name }, ended.last))
  }
  const take = (order: BackupStart | RestoreStart): void => {
    const ordered = orderedBy(order)
    const at = world.clock.now()
    const { run, job, name } = ordered
    if (board.start(ordered, at) && job !== null)
      keep(withBegun(outcomes, { job, name }, { run, at }))
  }
  return {
    over: (worker) => ({
      order: (order) => {
        if (order.type === 'backup.start' || order.type === 'restore.start') take(order)
        if (order.type === 'backup.pause' || order.type === 'backup.resume')
          board.hold(order.run, order.type === 'backup.pause')
        worker.order(order)
      },
      runs: () => {
        const runs = worker.runs()
        board.keep(runs)
        return runs
      },
      leases: (leases) => {
        for (const run of leases.lost) note(board.lost(run, world.clock.now()))
        for (const { run, paused } of leases.renewed) board.hold(run, paused ?? false)
        worker.leases(leases)
      },
    }),
    hear: (report, answer) => note(board.said(report, answer, world.clock.now())),
    runs: board.runs,
  }
}
