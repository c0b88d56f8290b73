import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  comparePlaces,
  isBelow,
  pathOf,
  type Place,
  type Range,
  sideOf,
} from '#shared/format/tree-order.ts'
import { parseGlob } from '#shared/read/glob.ts'
import { scopeOf } from '#shared/read/scope.ts'
import { placeOf } from '#shared/read/select.ts'
import { missingOf, selectionOf, type Wish } from '#shared/read/selection.ts'

const name = fc.constantFrom('a', 'b', 'ab', '-', '\xff')
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`)
const place = path.map(placeOf)
const range: fc.Arbitrary<Range> = fc.oneof(
  path.map((dir): Range => ({ at: 'subtree', dir })),
  path.map((dir): Range => ({ at: 'listing', dir })),
  place.map((one): Range => ({ at: 'entry', ...one })),
)
/** All there can be here. */
const PLACES: readonly Place[] = (() => {
  let dirs = ['/']
  const all: Place[] = []
  for (let depth = 0; depth < 4; depth += 1) {
    const next: string[] = []
    for (const dir of dirs)
      for (const one of ['a', 'b', 'ab', '-', '\xff']) {
        all.push({ dir, name: one })
        next.push(pathOf(dir, one))
      }
    dirs = next
  }
  return all.sort(comparePlaces)
})()

describe('several ranges as one', () => {
  test('hold what any of them holds', () => {
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 6 }), (ranges) => {
        const scope = scopeOf(...ranges)
        const held = PLACES.filter((one) => scope.holds(one))
        expect(held).toEqual(PLACES.filter((one) => ranges.some((r) => sideOf(r, one) === 0)))
      }),
      { numRuns: 60 },
    )
  })

  test('touch every stretch that could hold something, and none that could not', () => {
    const stretch = fc.tuple(place, place).filter(([a, b]) => comparePlaces(a, b) < 0)
    fc.assert(
      fc.property(
        fc.array(range, { minLength: 1, maxLength: 5 }),
        stretch,
        (ranges, [from, to]) => {
          const scope = scopeOf(...ranges)
          expect(scope.touches(from, to)).toBe(
            ranges.some((one) => {
              const least = one.at === 'entry' ? 1 : 0
              return sideOf(one, from) <= 0 && sideOf(one, to) >= least
            }),
          )
          expect(scope.touches(from, null)).toBe(ranges.some((one) => sideOf(one, from) <= 0))
        },
      ),
      { numRuns: 3000 },
    )
  })
})

describe('a selection', () => {
  const globs = fc.constantFrom('/a/*', '/*/b', '/**/ab', '/b/**', '*-', '/a/b/?').map(parseGlob)
  const wish: fc.Arbitrary<Wish> = fc.record({
    paths: fc.array(path, { maxLength: 4 }),
    globs: fc.array(globs, { maxLength: 2 }),
  })
  const asked = ({ paths, globs: all }: Wish, one: string): boolean =>
    paths.includes(one) || all.some((glob) => glob.matches(one))
  const withAbove = (one: string): string[] =>
    one === '/' ? [] : [one, ...withAbove(placeOf(one).dir)]

  test('wants what is asked for and everything below it, and looks nowhere in vain', () => {
    fc.assert(
      fc.property(wish, (wanted) => {
        fc.pre(wanted.paths.length + wanted.globs.length > 0)
        const selection = selectionOf(wanted)
        for (const one of PLACES) {
          const full = pathOf(one.dir, one.name)
          const expected = withAbove(full).some((above) => asked(wanted, above))
          expect(selection.wants(one)).toBe(expected)
          expect(selection.covers(full)).toBe(expected)
          if (expected) expect(selection.scope.holds(one)).toBe(true)
          else if (wanted.globs.length === 0) expect(selection.scope.holds(one)).toBe(false)
        }
      }),
      { numRuns: 100 },
    )
  })

  test('of nothing, or of the root, is everything', () => {
    for (const paths of [[], ['/a', '/']]) {
      const { everything, covers, scope } = selectionOf({ paths, globs: [] })
      expect([everything, covers('/'), scope.holds({ dir: '/', name: 'x' })]).toEqual([
        true,
        true,
        true,
      ])
    }
  })

  test('of globs alone looks only into their folders', () => {
    const { scope } = selectionOf({ paths: [], globs: [parseGlob('/a/b/*.log')] })
    expect(PLACES.filter((one) => scope.holds(one)).every(({ dir }) => isBelow(dir, '/a/b'))).toBe(
      true,
    )
  })

  test('of ten thousand paths answers each question with few comparisons', () => {
    const paths = Array.from({ length: 10_000 }, (_, i) => `/data/${String(i % 100)}/f${String(i)}`)
    const { scope, wants } = selectionOf({ paths, globs: [] })
    expect(paths.every((one) => scope.holds(placeOf(one)) && wants(placeOf(one)))).toBe(true)
    expect(scope.holds({ dir: '/data/1', name: 'other' })).toBe(false)
  })
})

describe('what is missing', () => {
  test('is every path and glob that nothing was seen of', () => {
    fc.assert(
      fc.property(
        fc.array(path, { maxLength: 5 }),
        fc.subarray([...PLACES.slice(0, 60)]),
        (paths, seen) => {
          const globs = [parseGlob('/a/*'), parseGlob('/\xff/**')]
          const missing = missingOf({ paths, globs })
          for (const one of seen) missing.saw(one)
          const full = seen.map((one) => pathOf(one.dir, one.name))
          expect(new Set(missing.rest())).toEqual(
            new Set([
              ...paths.filter((one) => !full.includes(one)),
              ...globs.filter((glob) => !full.some(glob.matches)).map(({ pattern }) => pattern),
            ]),
          )
        },
      ),
      { numRuns: 200 },
    )
  })

  test('is not what may lie where nothing is known', () => {
    const globs = [parseGlob('/b/*'), parseGlob('/x/*')]
    const missing = missingOf({ paths: ['/a/1', '/b/1', '/c/1'], globs })
    missing.lost({ dir: '/a', name: '2' }, { dir: '/c', name: '0' })
    expect(missing.rest()).toEqual(['/a/1', '/c/1', '/x/*'])
    missing.lost({ dir: '/c', name: '1' }, null)
    expect(missing.rest()).toEqual(['/a/1'])
  })
})
