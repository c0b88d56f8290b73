import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isTimezone, type Limits, type LimitWindow, speedsAt, UNLIMITED } from '#shared/limits.ts'
import { HOUR, MiB, MINUTE } from '#shared/units.ts'

const window = (over: Partial<LimitWindow>): LimitWindow => ({
  from: '08:00',
  to: '18:00',
  upload_limit: 2 * MiB,
  download_limit: null,
  ...over,
})
const limits = (timezone: string, ...windows: LimitWindow[]): Limits => ({
  ...UNLIMITED,
  timezone,
  limit_windows: windows,
})
const uploadAt = (given: Limits, iso: string): number | null =>
  speedsAt(given, Date.parse(iso)).upload

describe('limits by the time of day', () => {
  test('count from the first minute of a window to before its end, in its zone', () => {
    const berlin = limits('Europe/Berlin', window({}))
    expect(uploadAt(berlin, '2026-01-15T06:59:59Z')).toBeNull()
    expect(uploadAt(berlin, '2026-01-15T07:00:00Z')).toBe(2 * MiB)
    expect(uploadAt(berlin, '2026-01-15T16:59:59Z')).toBe(2 * MiB)
    expect(uploadAt(berlin, '2026-01-15T17:00:00Z')).toBeNull()
    // In summer the same wall clock times are an hour earlier.
    expect(uploadAt(berlin, '2026-07-15T06:00:00Z')).toBe(2 * MiB)
    expect(uploadAt(berlin, '2026-07-15T16:00:00Z')).toBeNull()
  })

  test('go by the wall clock where it is changed: a skipped hour does not come, a repeated one comes twice', () => {
    const night = limits('Europe/Berlin', window({ from: '02:15', to: '02:45' }))
    const counted = (from: string): number => {
      const start = Date.parse(from)
      return Array.from({ length: 6 * 60 }, (_, n) => start + n * MINUTE).filter(
        (at) => speedsAt(night, at).upload !== null,
      ).length
    }
    expect(counted('2026-03-27T23:00:00Z')).toBe(30)
    expect(counted('2026-03-28T23:00:00Z')).toBe(0)
    expect(counted('2026-10-24T22:00:00Z')).toBe(60)
  })

  test('pass midnight, and belong to the day on which they begin', () => {
    const weekend = limits('UTC', window({ from: '22:00', to: '06:00', days: ['sat', 'sun'] }))
    expect(uploadAt(weekend, '2026-11-20T23:00:00Z')).toBeNull()
    expect(uploadAt(weekend, '2026-11-21T05:00:00Z')).toBeNull()
    expect(uploadAt(weekend, '2026-11-21T22:00:00Z')).toBe(2 * MiB)
    expect(uploadAt(weekend, '2026-11-23T05:59:00Z')).toBe(2 * MiB)
    expect(uploadAt(weekend, '2026-11-23T06:00:00Z')).toBeNull()
    expect(uploadAt(weekend, '2026-11-23T22:00:00Z')).toBeNull()
  })

  test('are those of the first window that fits, and outside of all those beside them', () => {
    const two = {
      ...limits('UTC', window({ from: '12:00', to: '13:00', upload_limit: null }), window({})),
      upload_limit: 9 * MiB,
    }
    expect(uploadAt(two, '2026-01-15T12:30:00Z')).toBeNull()
    expect(uploadAt(two, '2026-01-15T13:30:00Z')).toBe(2 * MiB)
    expect(uploadAt(two, '2026-01-15T20:00:00Z')).toBe(9 * MiB)
  })

  test('are always one of those that were said, whatever the zone, also one that is not known', () => {
    expect([isTimezone('Europe/Berlin'), isTimezone('Mars/Olympus')]).toEqual([true, false])
    const zones = ['Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Mars/Olympus']
    const clock = fc
      .tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }))
      .map((parts) => parts.map((part) => String(part).padStart(2, '0')).join(':'))
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        clock,
        clock,
        fc.integer({ min: 0, max: 4e12 }),
        (zone, from, to, now) => {
          fc.pre(from !== to)
          const inside = limits(zone, window({ from, to }))
          const outside = limits(zone, window({ from: to, to: from }))
          // A day is one or the other.
          const speeds = [speedsAt(inside, now).upload, speedsAt(outside, now).upload]
          expect(speeds.sort()).toEqual([2 * MiB, null])
          expect(speedsAt({ ...inside, limit_windows: [] }, now + HOUR)).toEqual({
            upload: null,
            download: null,
          })
        },
      ),
    )
  })
})
