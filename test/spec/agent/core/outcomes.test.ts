import { describe, expect, test } from 'vitest'
import { createBoard, type Ended, type Ordered } from '#agent/core/board.ts'
import {
  cutOff,
  type JobOutcome,
  readOutcomes,
  withBegun,
  withLast,
  writeOutcomes,
} from '#agent/core/outcomes.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'

const RUN = '019a8b7c-0100-7000-8000-000000000001'
const JOB = '019a8b7c-0104-7000-8000-000000000001'
const counts = {
  files: 3,
  directories: 1,
  others: 0,
  changed: 3,
  unchanged: 0,
  skipped: 0,
  errors: 0,
}
const head = { id: '', run: RUN, epoch: 1 }
const bytes = { bytes_source: 10, bytes_new: 5, bytes_stored: 4 }
const problem = { code: 'SOURCE_UNREADABLE', message: 'no' }
const finish = (error_count: number): Report => ({
  type: 'commit.finish',
  ...head,
  sequence: 1,
  counts,
  ...bytes,
  error_count,
  errors: [],
})
const done: Order = { type: 'commit.done', id: RUN, run: RUN, sequence: 1, gc_epoch: 1 }
const missing: Order = { type: 'commit.missing', id: RUN, run: RUN, packs: [1] }
const ended: Report = { type: 'backup.ended', ...head, status: 'failed', problem }

const backup: Ordered = { run: RUN, kind: 'backup', job: JOB, name: 'etc' }
const started = (): ReturnType<typeof createBoard> => {
  const board = createBoard()
  board.start(backup, 100)
  return board
}
const statusOf = (end: Ended | null): string | null => end?.last.status ?? null

describe('a run on the board', () => {
  test('shows how far it is, from when it was ordered on', () => {
    const board = started()
    expect(board.runs()).toMatchObject([{ run: RUN, began: 100, phase: 'waiting', files: 0 }])
    const progress = { type: 'progress', ...head, phase: 'uploading', counts } as const
    expect(board.said({ ...progress, ...bytes, bytes_read: 9 }, null, 200)).toBeNull()
    expect(board.runs()).toMatchObject([{ phase: 'uploading', files: 3, bytes: 10 }])
    expect(board.start(backup, 300)).toBe(false)
    board.hold(RUN, true)
    expect(board.runs()).toMatchObject([{ paused: true }])
    board.hold(RUN, false)
    expect(board.runs()[0]).not.toHaveProperty('paused')
    expect(board.runs()).toMatchObject([{ began: 100 }])
  })

  test('is a backup only by the answer to its commit, and partial by its errors', () => {
    const board = started()
    expect(board.said(finish(0), null, 1)).toBeNull()
    expect(board.said(finish(0), missing, 1)).toBeNull()
    expect(board.said(finish(0), done, 7)).toEqual({
      ordered: backup,
      last: { run: RUN, status: 'completed', at: 7, problem: null },
    })
    expect(statusOf(started().said(finish(2), done, 7))).toBe('partial')
  })

  test('ends once, in its own words, and is shown until the control plane knows', () => {
    const board = started()
    expect(board.said(ended, null, 5)?.last).toEqual({ run: RUN, status: 'failed', at: 5, problem })
    const settled: Order = { type: 'backup.settled', id: RUN, run: RUN }
    expect(board.said(ended, settled, 6)).toBeNull()
    expect(board.lost(RUN, 6)).toBeNull()
    expect(board.runs()).toMatchObject([{ phase: 'ending' }])
    board.keep([])
    expect(board.runs()).toEqual([])
  })

  test('can be refused, or lost', () => {
    const refused: Report = { type: 'backup.refused', ...head, problem }
    expect(statusOf(started().said(refused, null, 5))).toBe('refused')
    expect(statusOf(started().lost(RUN, 5))).toBe('lost')
    expect(createBoard().lost(RUN, 5)).toBeNull()
  })
})

const job = (n: number): string => `019a8b7c-0104-7000-8000-${String(n).padStart(12, '0')}`
const last = { run: RUN, status: 'completed', at: 5, problem: null } as const

describe('outcomes', () => {
  test('are read as they were written, by job, the newest first', () => {
    const both = [1, 2, 1].reduce<readonly JobOutcome[]>(
      (all, n) => withLast(all, { job: job(n), name: `job ${n}` }, { ...last, at: n }),
      [],
    )
    expect(readOutcomes(writeOutcomes(both))).toEqual(both)
    expect(both.map(({ name }) => name)).toEqual(['job 1', 'job 2'])
    expect(readOutcomes(null)).toEqual([])
    expect(() => readOutcomes(Buffer.from('{"version":1}'))).toThrow('outcomes.json')
    expect(() => readOutcomes(Buffer.from('{'))).toThrow('outcomes.json')
  })

  test('keep the last one while the next is under way, and say cut off where nobody goes on', () => {
    const one = { job: JOB, name: 'etc' }
    const going = withBegun(withLast([], one, last), one, { run: job(9), at: 8 })
    expect(going).toMatchObject([{ begun: { at: 8 }, last: { at: 5 } }])
    expect(cutOff(going)).toMatchObject([
      { begun: null, last: { run: job(9), status: 'cut off', at: 8 } },
    ])
    expect(cutOff(cutOff(going))).toEqual(cutOff(going))
  })

  test('of more than a thousand jobs are those of the thousand that ran last', () => {
    let all: readonly JobOutcome[] = []
    for (let n = 0; n < 1003; n += 1) all = withLast(all, { job: job(n), name: 'x' }, last)
    expect(all).toHaveLength(1000)
    expect(all[0]?.job).toBe(job(1002))
  })
})
