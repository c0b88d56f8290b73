import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  advance,
  emptyWindow,
  eventsFrom,
  extend,
  inOrder,
  isBehind,
  parsePosition,
  type Position,
  showPosition,
  since,
  START,
  type Stored,
  type Tracks,
} from '#server/core/follow.ts'

const stored = (track: 'status' | 'log', seq: number, at: number): Stored => ({
  track,
  seq,
  at,
  data: `${track} ${seq}`,
})

/** Tracks as they are stored: numbers rise by one, times are those of whoever wrote, and may stand still or jump back. */
const tracks = fc
  .tuple(fc.array(fc.nat(20), { maxLength: 30 }), fc.array(fc.nat(20), { maxLength: 30 }))
  .map(([status, log]): Tracks => ({
    status: status.map((at, n) => stored('status', n + 1, at)),
    log: log.map((at, n) => stored('log', n + 1, at)),
  }))

const page = (all: Tracks, at: Position, limit: number): Tracks => ({
  status: all.status.filter(({ seq }) => seq > at.status).slice(0, limit),
  log: all.log.filter(({ seq }) => seq > at.log).slice(0, limit),
})

describe('positions', () => {
  test('come back as they were shown', () => {
    const number = fc.nat(1_000_000_000)
    fc.assert(
      fc.property(number, number, number, (status, log, progress) => {
        const at = { status, log, progress }
        expect(parsePosition(showPosition(at))).toEqual(at)
      }),
    )
  })

  test('anything else is no position', () => {
    for (const text of ['', '1', '1.2', '1.2.3.4', '-1.2.3', '1.2.x', ' 1.2.3', '1.2.1e3'])
      expect([text, parsePosition(text)]).toEqual([text, null])
    expect(parsePosition(`1.${'9'.repeat(16)}.1`)).toBeNull()
  })
})

describe('the two tracks', () => {
  test('read page by page are all there, each once, each track in its order', () => {
    fc.assert(
      fc.property(tracks, fc.integer({ min: 1, max: 7 }), (all, limit) => {
        const got: Stored[] = []
        let at = START
        for (;;) {
          const next = inOrder(page(all, at, limit), limit)
          if (next.length === 0) break
          got.push(...next)
          at = advance(at, next)
        }
        for (const track of ['status', 'log'] as const)
          expect(got.filter((one) => one.track === track)).toEqual(all[track])
      }),
    )
  })

  test('follow each other by time, and what was logged comes before the status of the same moment', () => {
    const all = {
      status: [stored('status', 1, 10), stored('status', 2, 30)],
      log: [stored('log', 1, 20), stored('log', 2, 30), stored('log', 3, 31)],
    }
    expect(inOrder(all, 100).map(({ data }) => data)).toEqual([
      'status 1',
      'log 1',
      'log 2',
      'status 2',
      'log 3',
    ])
  })

  test('a status waits for the lines before it that are on the next page', () => {
    const all = {
      status: [stored('status', 1, 99)],
      log: [stored('log', 1, 1), stored('log', 2, 2), stored('log', 3, 3)],
    }
    expect(inOrder(page(all, START, 2), 2).map(({ data }) => data)).toEqual(['log 1', 'log 2'])
  })
})

describe('what a reader is sent', () => {
  const stand = { at: { status: 2, log: 1, progress: 7 }, over: false, progress: 'half' }

  test('begins with the progress that it does not have, and every event says where it leaves the reader', () => {
    const events = eventsFrom({ status: 1, log: 0, progress: 6 }, stand, [
      stored('log', 1, 1),
      stored('status', 2, 2),
    ])
    expect(events).toEqual([
      { kind: 'progress', position: { status: 1, log: 0, progress: 7 }, data: 'half' },
      { kind: 'log', position: { status: 1, log: 1, progress: 7 }, data: 'log 1' },
      { kind: 'status', position: { status: 2, log: 1, progress: 7 }, data: 'status 2' },
    ])
    expect(isBehind(events[1]!.position, stand)).toBe(true)
    expect(isBehind(events[2]!.position, stand)).toBe(false)
  })

  test('has no progress twice', () => {
    expect(eventsFrom({ status: 2, log: 1, progress: 7 }, stand, [])).toEqual([])
  })
})

describe('the window', () => {
  test('gives exactly what follows a position, or says that it begins too late', () => {
    fc.assert(
      fc.property(
        tracks,
        fc.array(fc.integer({ min: 1, max: 5 })),
        fc.integer({ min: 1, max: 10 }),
        fc.tuple(fc.nat(30), fc.nat(30)),
        (all, sizes, most, [status, log]) => {
          let window = emptyWindow(START)
          for (const size of sizes)
            window = extend(window, inOrder(page(all, window.to, size), size), most)
          expect(window.stored.length).toBeLessThanOrEqual(most)
          const at = {
            status: Math.min(status, window.to.status),
            log: Math.min(log, window.to.log),
            progress: 0,
          }
          const found = since(window, at)
          if (found === null) {
            expect(at.status < window.from.status || at.log < window.from.log).toBe(true)
            return
          }
          const numbers = (track: 'status' | 'log'): number[] =>
            found.filter((one) => one.track === track).map(({ seq }) => seq)
          const wanted = (from: number, to: number): number[] =>
            Array.from({ length: to - from }, (_, n) => from + n + 1)
          expect(numbers('status')).toEqual(wanted(at.status, window.to.status))
          expect(numbers('log')).toEqual(wanted(at.log, window.to.log))
        },
      ),
    )
  })
})
