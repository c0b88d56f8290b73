import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SECOND } from '#shared/units.ts'
import { delayOf, RECONNECT } from '#agent/core/backoff.ts'
import { otherEntry } from '#agent/core/entries.ts'
import {
  addUses,
  changedUses,
  createLedger,
  mergeUses,
  removeUses,
  type Uses,
} from '#agent/core/live.ts'
import { createProblems, reported } from '#agent/core/problems.ts'
import { loadStat, newStats, storeStat } from '#agent/core/sealing.ts'
import { isSettled, kindOf, msOf, signatureOf } from '#agent/core/stat.ts'
import { createWork } from '#agent/core/work.ts'

const uses = fc
  .dictionary(fc.integer({ min: 1, max: 20 }).map(String), fc.integer({ min: 1, max: 9 }))
  .map((record): Uses => Object.entries(record).map(([pack, bytes]) => [Number(pack), bytes]))

describe('live bytes', () => {
  test('are the same whether changes are applied or the whole is said', () => {
    fc.assert(
      fc.property(uses, uses, (before, after) => {
        const live = new Map(before)
        for (const [pack, bytes] of changedUses(before, after)) {
          if (bytes === 0) expect(live.delete(pack)).toBe(true)
          else live.set(pack, bytes)
        }
        expect([...live].sort(([a], [b]) => a - b)).toEqual([...after].sort(([a], [b]) => a - b))
      }),
    )
  })

  test('go back to what they were when what came goes again', () => {
    fc.assert(
      fc.property(uses, uses, (start, come) => {
        const ledger = createLedger(start)
        addUses(ledger, come)
        expect(ledger.uses()).toEqual(mergeUses(start, come))
        removeUses(ledger, come)
        expect(ledger.uses()).toEqual(createLedger(start).uses())
      }),
    )
  })
})

describe('times', () => {
  test('in nanoseconds become the very number that lstat gives in milliseconds', () => {
    expect(msOf(1_700_000_000_123_456_789n)).toBe(1_700_000_000 * 1000 + 123_456_789 / 1_000_000)
    expect(msOf(-1n)).toBe(-1000 + 999_999_999 / 1_000_000)
    expect(msOf(0n)).toBe(0)
  })

  test.each([
    ['long ago', 0, 0, true],
    ['a moment ago', -1 * SECOND, -10 * SECOND, false],
    ['changed a moment ago', -10 * SECOND, -1 * SECOND, false],
    ['modified in the far future', 1e9, -10 * SECOND, true],
    ['changed in the future', -10 * SECOND, 1e9, false],
  ])('an entry %s counts as settled: %s %s %s', (_, mtime, ctime, settled) => {
    const now = 1_800_000_000_000
    const signature = {
      size: 1,
      dev: 1,
      ino: 1,
      mtimeMs: mtime === 0 ? 0 : now + mtime,
      ctimeMs: ctime === 0 ? 0 : now + ctime,
    }
    expect(isSettled(signature, now)).toBe(settled)
  })
})

describe('entries', () => {
  const exact = {
    mode: 0o60660,
    uid: 1,
    gid: 2,
    nlink: 1,
    size: 0,
    dev: 1n,
    ino: 2n,
    rdev: (8n << 8n) | 17n | (5n << 20n),
    mtimeNs: 5n,
    ctimeNs: 6n,
  }
  const owners = { user: (uid: number) => (uid === 1 ? 'one' : undefined), group: () => undefined }

  test('of devices carry major and minor', () => {
    expect(otherEntry(exact, owners, null)).toEqual({
      type: 'block',
      mode: 0o660,
      uid: 1,
      gid: 2,
      user: 'one',
      mtime: 5n,
      device: [8, 0x500 + 17],
    })
  })

  test('of sockets are noted and skipped', () => {
    const socket = otherEntry({ ...exact, mode: 0o140755 }, owners, null)
    expect(socket).toMatchObject({ type: 'socket', skipped: 'socket' })
    expect(kindOf(0o140000)).toBe('socket')
  })

  test('come through the compact form unchanged, with inode numbers beyond 2^63', () => {
    const whole = { ...exact, ino: 2n ** 64n - 3n }
    const stats = newStats(2)
    storeStat(stats, 1, {
      ...whole,
      mode: BigInt(whole.mode),
      uid: 1n,
      gid: 2n,
      nlink: 1n,
      size: 0n,
    })
    expect(loadStat(stats, 1)).toEqual(whole)
    expect(signatureOf(whole).ino).toBe(2 ** 64)
  })
})

test('waiting grows to its bound and never below half of it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, chance) => {
        const delay = delayOf(RECONNECT, attempt, chance)
        expect(delay).toBeGreaterThanOrEqual(RECONNECT.first / 2)
        expect(delay).toBeLessThanOrEqual(RECONNECT.most)
      },
    ),
  )
  expect(delayOf(RECONNECT, 1, 0)).toBeLessThan(delayOf(RECONNECT, 4, 0))
})

test('all problems are counted, the first are kept, fewer are reported', () => {
  const problems = createProblems()
  for (let i = 0; i < 6000; i += 1) problems.add(`/\xff${i}`, 'SOURCE_CHANGED', 'x'.repeat(600))
  expect(problems.count).toBe(6000)
  expect(problems.kept.length).toBe(5000)
  expect(reported(problems).length).toBe(100)
  expect(reported(problems)[0]?.problem.length).toBe(500)
})

describe('runs', () => {
  test('start once, are refused without confirmed readers, and end when told to', () => {
    const work = createWork()
    const good = (): null => null
    const bad = new Error('not with me')
    expect(work.decide('run', good)).toEqual({ do: 'start' })
    const signals = work.add('run', 3)
    const { stop, gone } = signals
    expect(work.decide('run', good)).toEqual({ do: 'again' })
    expect(work.add('run', 4)).toEqual(signals)
    expect(work.decide('run', () => bad)).toEqual({ do: 'again' })
    expect(work.epochOf('run')).toBe(4)
    work.renew('run', 9)
    expect(work.runs()).toEqual([{ run: 'run', epoch: 9 }])
    work.stop('run', new Error('enough'))
    expect([stop.aborted, gone.aborted]).toEqual([true, false])
    work.lose('run', new Error('lost'))
    expect(gone.aborted).toBe(true)
    work.remove('run')
    expect(work.runs()).toEqual([])
    expect(work.decide('other', () => bad)).toEqual({ do: 'refuse', problem: bad })
  })

  test('beyond a hundred that wait are refused', () => {
    const work = createWork()
    for (let i = 0; i < 100; i += 1) work.add(`run ${i}`, 1)
    expect(work.decide('one more', () => null)).toMatchObject({ do: 'refuse' })
  })
})
