import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createCutter, type CutRule, TREE_RULE } from '#shared/format/cutter.ts'
import { dice } from '../../support/format-material.ts'

type Item = { readonly hash: number; readonly size: number }

const runsOf = (items: readonly Item[], rule: CutRule): readonly (readonly Item[])[] => {
  const cutter = createCutter<Item>(rule)
  const runs = items.flatMap((item) => cutter.push(item, item.hash, item.size))
  return [...runs, ...cutter.end()]
}

/** The definition, looking at everything at once: where runs begin. */
const boundariesOf = (items: readonly Item[], window: number): number[] =>
  items.flatMap((item, i) => {
    if (i < window || i + window >= items.length) return []
    const around = [...items.slice(i - window, i), ...items.slice(i + 1, i + window + 1)]
    return around.every((other) => other.hash > item.hash) ? [i] : []
  })

const startsOf = (runs: readonly (readonly Item[])[]): number[] => {
  let at = 0
  return runs.map((run) => (at += run.length) - run.length)
}

const endless = (window: number): CutRule => ({ window, most: Infinity, least: 0, limit: Infinity })

describe('cutting a stream', () => {
  const items = fc.array(
    fc.record({ hash: fc.nat({ max: 30 }), size: fc.integer({ min: 1, max: 25 }) }),
    {
      maxLength: 80,
    },
  )

  test('begins a run exactly at the smallest hash of its surroundings', () => {
    fc.assert(
      fc.property(items, fc.integer({ min: 1, max: 6 }), (stream, window) => {
        const runs = runsOf(stream, endless(window))
        expect(runs.flat()).toEqual(stream)
        expect(startsOf(runs)).toEqual(
          stream.length === 0 ? [] : [0, ...boundariesOf(stream, window)],
        )
      }),
      { numRuns: 1000 },
    )
  })

  test('keeps runs within their bounds, and loses and moves nothing', () => {
    const rule: CutRule = { window: 3, most: 100, least: 12, limit: 300 }
    fc.assert(
      fc.property(items, (stream) => {
        const runs = runsOf(stream, rule)
        expect(runs.flat()).toEqual(stream)
        for (const run of runs) {
          const bytes = run.reduce((sum, item) => sum + item.size, 0)
          expect(bytes).toBeLessThanOrEqual(100)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('splits a long run at its smallest hash that leaves enough on both sides, the first of equals', () => {
    const rule: CutRule = { window: 50, most: 40, least: 10, limit: 1000 }
    const of = (hashes: readonly number[]): Item[] => hashes.map((hash) => ({ hash, size: 10 }))
    expect(startsOf(runsOf(of([0, 9, 5, 9, 9]), rule))).toEqual([0, 2])
    expect(startsOf(runsOf(of([9, 9, 9, 9, 0]), rule))).toEqual([0, 4])
    expect(startsOf(runsOf(of([7, 7, 7, 7, 7, 7]), rule))).toEqual([0, 1, 2])
  })

  test('ends a run before the item that brings it over the limit, and decides afresh after it', () => {
    const rule: CutRule = { window: 2, most: 100, least: 10, limit: 100 }
    const stream = Array.from({ length: 12 }, () => ({ hash: 5, size: 25 }))
    expect(startsOf(runsOf(stream, rule))).toEqual([0, 4, 8])
  })

  test('does not cut at a place that lies before an end the limit made', () => {
    const rule: CutRule = { window: 2, most: 100, least: 10, limit: 90 }
    const hashes = [9, 9, 9, 1, 9, 9, 9, 9]
    // The third place would be known when item 5 arrives; item 4 has ended the run by then.
    const stream = hashes.map((hash, i) => ({ hash, size: i < 4 ? 22 : 5 }))
    expect(startsOf(runsOf(stream.with(4, { hash: 9, size: 25 }), rule))).toEqual([0, 4])
  })

  test('refuses an item that could leave no place to cut', () => {
    const cutter = createCutter<number>(TREE_RULE)
    expect(() => cutter.push(1, 0, TREE_RULE.most / 4 + 1)).toThrow(RangeError)
  })

  test('moves boundaries only within a window of what comes or goes', () => {
    const roll = dice(7)
    const rule = endless(20)
    const stream = Array.from({ length: 3000 }, () => ({ hash: roll(2 ** 32), size: 1 }))
    const before = new Set(startsOf(runsOf(stream, rule)))
    for (let round = 0; round < 200; round += 1) {
      const at = roll(stream.length)
      const item = { hash: roll(2) === 0 ? roll(2 ** 32) : roll(1000), size: 1 }
      const after = startsOf(runsOf(stream.toSpliced(at, 0, item), rule))
      for (const start of after) {
        if (start < at - 20) expect(before.has(start)).toBe(true)
        if (start > at + 21) expect(before.has(start - 1)).toBe(true)
      }
      expect(Math.abs(after.length - before.size)).toBeLessThanOrEqual(2)
    }
  })
})
