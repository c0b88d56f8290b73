import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  asRuns,
  isPage,
  joinPages,
  MAX_PAGES,
  type Page,
  planIntervals,
  referenced,
} from '#server/core/commit.ts'

type Interval = { pack: number; from: number; to: number | null; live: number }

/** Packs with their live bytes that the backup `sequence` uses, by the intervals. */
const usedBy = (intervals: readonly Interval[], sequence: number): Map<number, number> =>
  new Map(
    intervals
      .filter(({ from, to }) => from <= sequence && (to === null || to >= sequence))
      .map(({ pack, live }) => [pack, live]),
  )

const sorted = (live: ReadonlyMap<number, number>): (readonly [number, number])[] =>
  [...live].sort(([a], [b]) => a - b)

/** What an agent sends for a backup that uses `now` after one that used `before`, in pages of `size`. */
const pagesFor = (
  kind: Page['kind'],
  [before, now]: readonly [ReadonlyMap<number, number>, ReadonlyMap<number, number>],
  size: number,
): Page[] => {
  const entries: (readonly [number, number])[] =
    kind === 'whole'
      ? [...now]
      : [
          ...[...now].filter(([pack, live]) => before.get(pack) !== live),
          ...[...before.keys()].filter((pack) => !now.has(pack)).map((pack) => [pack, 0] as const),
        ]
  const of = Math.max(1, Math.ceil(entries.length / size))
  return Array.from({ length: of }, (_, page) => ({
    page,
    of,
    kind,
    packs: entries.slice(page * size, (page + 1) * size),
  }))
}

const backup = fc.dictionary(
  fc.integer({ min: 1, max: 12 }).map(String),
  fc.integer({ min: 1, max: 4 }),
)
const history = fc.array(
  fc.record({
    live: backup.map(
      (record) => new Map(Object.entries(record).map(([pack, live]) => [Number(pack), live])),
    ),
    kind: fc.constantFrom('changes' as const, 'whole' as const),
    size: fc.integer({ min: 1, max: 5 }),
  }),
  { maxLength: 12 },
)

describe('the intervals of a job', () => {
  test('give back, for every backup, exactly the packs and live bytes that it was committed with', () => {
    fc.assert(
      fc.property(history, (backups) => {
        const intervals: Interval[] = []
        let before = new Map<number, number>()
        for (const [index, { live, kind, size }] of backups.entries()) {
          const sequence = index + 1
          const staged = joinPages(pagesFor(kind, [before, live], size))
          expect(staged).not.toBeNull()
          const open = new Map(
            intervals.filter(({ to }) => to === null).map((i) => [i.pack, i.live]),
          )
          const plan = planIntervals(open, staged!)
          for (const pack of plan.close) {
            const found = intervals.find((i) => i.pack === pack && i.to === null)
            found!.to = sequence - 1
          }
          for (const [pack, bytes] of plan.open)
            intervals.push({ pack, from: sequence, to: null, live: bytes })
          expect(new Set(plan.added)).toEqual(
            new Set([...live.keys()].filter((pack) => !before.has(pack))),
          )
          before = live
        }
        for (const [index, { live }] of backups.entries())
          expect(sorted(usedBy(intervals, index + 1))).toEqual(sorted(live))
      }),
    )
  })

  test('cost no row for what did not change, in either kind', () => {
    const open = new Map([
      [1, 10],
      [2, 20],
    ])
    expect(planIntervals(open, { kind: 'whole', live: new Map(open) })).toEqual({
      close: [],
      open: [],
      added: [],
    })
    expect(planIntervals(open, { kind: 'changes', live: new Map([[2, 20]]) })).toEqual({
      close: [],
      open: [],
      added: [],
    })
  })
})

describe('pages', () => {
  const page = (over: Partial<Page> = {}): Page => ({
    page: 0,
    of: 1,
    kind: 'changes',
    packs: [[1, 1]],
    ...over,
  })

  test('are a commit only when all are there and agree', () => {
    expect(joinPages([])).toBeNull()
    expect(joinPages([page({ of: 2 })])).toBeNull()
    expect(
      joinPages([page({ of: 2 }), page({ page: 1, of: 2, kind: 'whole', packs: [[2, 1]] })]),
    ).toBeNull()
    expect(joinPages([page({ of: 2 }), page({ page: 1, of: 2, packs: [[2, 0]] })])?.live.size).toBe(
      2,
    )
  })

  test('that name a pack twice break the protocol', () => {
    expect(() => joinPages([page({ of: 2 }), page({ page: 1, of: 2 })])).toThrow(/twice/)
    expect(() =>
      joinPages([
        page({
          packs: [
            [1, 1],
            [1, 2],
          ],
        }),
      ]),
    ).toThrow(/twice/)
  })

  test('are numbered within their count, and bounded', () => {
    expect(isPage(page())).toBe(true)
    expect(isPage(page({ page: 1 }))).toBe(false)
    expect(isPage(page({ of: 0 }))).toBe(false)
    expect(isPage(page({ of: MAX_PAGES + 1 }))).toBe(false)
  })

  test('reference the packs with live bytes', () => {
    expect(
      referenced({
        kind: 'changes',
        live: new Map([
          [1, 5],
          [2, 0],
        ]),
      }),
    ).toEqual([1])
  })
})

describe('kept sequences', () => {
  test('are given as runs, the newest if there are too many', () => {
    expect(asRuns([1, 2, 3, 5, 7, 8], 10)).toEqual([
      [1, 3],
      [5, 5],
      [7, 8],
    ])
    expect(asRuns([1, 3, 5], 2)).toEqual([
      [3, 3],
      [5, 5],
    ])
    expect(asRuns([], 2)).toEqual([])
  })
})
