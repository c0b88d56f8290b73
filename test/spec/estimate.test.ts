import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Course, type Estimate, follow, newCourse, type Sample } from '#shared/estimate.ts'
import { MiB, SECOND } from '#shared/units.ts'

const amount = (n: number): Sample['done'] => ({ files: n, bytes: n * MiB })
const known = (n: number): Sample['whole'] => ({ ...amount(n), exact: false })
const counted = (n: number): Sample['whole'] => ({ ...amount(n), exact: true })

/** What is said after each second of a run. */
const said = (samples: readonly Omit<Sample, 'at'>[]): readonly Estimate[] => {
  let course: Course = newCourse(0)
  return samples.map((sample, second) => {
    const [next, estimate] = follow(course, { ...sample, at: second * SECOND })
    course = next
    return estimate
  })
}
const steady = (seconds: number, whole: Sample['whole']): readonly Estimate[] =>
  said(Array.from({ length: seconds + 1 }, (_, n) => ({ done: amount(n), whole })))

describe('an estimate', () => {
  test('of a steady run holds its end between its bounds, and is never revised', () => {
    for (const whole of [known(100), counted(100)])
      for (const [second, { share, rate, left, revisions }] of steady(95, whole).entries()) {
        if (second < 4) continue
        expect([share, rate, revisions]).toEqual([Math.min(0.99, second / 100), MiB, 0])
        expect(left?.least).toBeLessThanOrEqual((100 - second) * SECOND)
        expect(left?.most).toBeGreaterThanOrEqual((100 - second) * SECOND - 1)
      }
  })

  test('is none while the whole is not known: in a first run, and beyond what the run before had', () => {
    expect(steady(20, null).at(-1)).toEqual({ share: null, rate: MiB, left: null, revisions: 0 })
    const beyond = steady(20, known(10))
    expect(beyond[9]?.left).not.toBeNull()
    expect(beyond.at(-1)).toMatchObject({ share: null, left: null })
  })

  test('is none while nothing moves, and at the very beginning', () => {
    expect(steady(2, counted(100)).at(-1)).toMatchObject({ left: null })
    const stalled = said(
      Array.from({ length: 80 }, (_, n) => ({ done: amount(Math.min(n, 10)), whole: known(100) })),
    )
    expect(stalled.at(-1)).toMatchObject({ share: 0.1, rate: 0, left: null })
  })

  test('of a run that becomes slower says that it was revised', () => {
    const slower = said(
      Array.from({ length: 120 }, (_, n) => ({
        done: amount(n < 20 ? 2 * n : 40 + (n - 20) / 10),
        whole: counted(100),
      })),
    )
    expect(slower[19]?.revisions).toBe(0)
    expect(slower.at(-1)?.revisions).toBeGreaterThan(0)
  })

  test('is never over its whole, has its bounds in order, and its end recedes only with a revision', () => {
    const step = fc.record({
      span: fc.integer({ min: 0, max: 20 * SECOND }),
      files: fc.nat(50),
      bytes: fc.nat(50 * MiB),
      whole: fc.option(
        fc.record({ files: fc.nat(500), bytes: fc.nat(500 * MiB), exact: fc.boolean() }),
      ),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let [course, at, files, bytes] = [newCourse(0), 0, 0, 0]
        let last: { readonly end: number; readonly revisions: number } | null = null
        for (const one of steps) {
          at += one.span
          files += one.files
          bytes += one.bytes
          const [next, now] = follow(course, { at, done: { files, bytes }, whole: one.whole })
          course = next
          expect(course.samples.length).toBeLessThanOrEqual(31)
          if (now.share !== null) expect(now.share >= 0 && now.share <= 0.99).toBe(true)
          if (now.rate !== null) expect(now.rate).toBeGreaterThanOrEqual(0)
          if (now.left === null) continue
          expect(now.left.least).toBeGreaterThanOrEqual(0)
          expect(now.left.least).toBeLessThanOrEqual(now.left.most)
          const end = at + now.left.most
          if (last !== null && now.revisions === last.revisions)
            expect(end).toBeLessThanOrEqual(last.end + 1e-6)
          last = { end, revisions: now.revisions }
        }
      }),
      { numRuns: 1000 },
    )
  })
})
