import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  compareDirs,
  compareOrder,
  isDir,
  isName,
  type Place,
  type Range,
  sideOf,
} from '#shared/format/tree-order.ts'
import { inOrder } from '../../support/format-material.ts'

/** Names around the bytes that matter: before the slash, after it, and the highest. */
const name = fc
  .array(fc.constantFrom('\x01', '!', '-', '.', '0', 'a', 'b', '\xff'), {
    minLength: 1,
    maxLength: 3,
  })
  .map((parts) => parts.join(''))
  .filter(isName)
const dir = fc.array(name, { maxLength: 3 }).map((names) => `/${names.join('/')}`)
const place: fc.Arbitrary<Place> = fc.record({ dir, name })

const compare = (a: Place, b: Place): number => compareOrder(a.dir, a.name, b.dir, b.name)

/** The order by walking: a directory's own entries by name, then each of its subdirectories by name. */
const walk = (places: readonly Place[], top: string): readonly Place[] => {
  const here = places.filter((p) => p.dir === top).map((p) => p.name)
  const prefix = top === '/' ? '/' : `${top}/`
  const below = places.filter((p) => p.dir !== top && p.dir.startsWith(prefix))
  const children = new Set(below.map((p) => p.dir.slice(prefix.length).split('/')[0]!))
  const bytewise = (a: string, b: string): number =>
    Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'))
  return [
    ...[...new Set(here)].sort(bytewise).map((n) => ({ dir: top, name: n })),
    ...[...children].sort(bytewise).flatMap((child) => walk(below, `${prefix}${child}`)),
  ]
}

const unique = (places: readonly Place[]): Place[] => [
  ...new Map(places.map((p) => [`${p.dir}\0${p.name}`, p])).values(),
]

describe('the order of a tree', () => {
  test('is the one in which a walk meets the entries', () => {
    fc.assert(
      fc.property(fc.array(place, { maxLength: 30 }), (places) => {
        expect(inOrder(unique(places))).toEqual(walk(places, '/'))
      }),
      { numRuns: 300 },
    )
  })

  test('is strict and total', () => {
    fc.assert(
      fc.property(place, place, place, (a, b, c) => {
        expect(Math.sign(compare(a, b))).toBe(0 - Math.sign(compare(b, a)))
        expect(compare(a, b) === 0).toBe(a.dir === b.dir && a.name === b.name)
        if (compare(a, b) < 0 && compare(b, c) < 0) expect(compare(a, c)).toBeLessThan(0)
      }),
      { numRuns: 300 },
    )
  })

  test('puts a directory before those below it, and both before a name that goes on with a byte below the slash', () => {
    expect(compareDirs('/a', '/a/b')).toBeLessThan(0)
    expect(compareDirs('/a/b', '/a-b')).toBeLessThan(0)
    expect(compareDirs('/', '/a')).toBeLessThan(0)
    expect(compareDirs('/a/z', '/ab')).toBeLessThan(0)
  })

  test('makes every range one run', () => {
    const after = fc.record({ after: place }, { requiredKeys: [] })
    const range: fc.Arbitrary<Range> = fc.oneof(
      after.map((from): Range => ({ at: 'all', ...from })),
      fc.tuple(dir, after).map(([d, from]): Range => ({ at: 'listing', dir: d, ...from })),
      fc.tuple(dir, after).map(([d, from]): Range => ({ at: 'subtree', dir: d, ...from })),
      place.map((p): Range => ({ at: 'entry', ...p })),
    )
    fc.assert(
      fc.property(fc.array(place, { maxLength: 30 }), range, (places, wanted) => {
        const sides = inOrder(unique(places)).map((p) => sideOf(wanted, p))
        expect(sides).toEqual(sides.toSorted((a, b) => a - b))
        const inside = inOrder(unique(places)).filter((p) => sideOf(wanted, p) === 0)
        const expected = walk(places, '/').filter((p) => {
          if (wanted.at !== 'entry' && wanted.after !== undefined && compare(p, wanted.after) <= 0)
            return false
          if (wanted.at === 'all') return true
          if (wanted.at === 'subtree')
            return wanted.dir === '/' || `${p.dir}/`.startsWith(`${wanted.dir}/`)
          return p.dir === wanted.dir && (wanted.at === 'listing' || p.name === wanted.name)
        })
        expect(inside).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })
})

describe('a place', () => {
  test.each(['', '.', '..', 'a/b', 'a\0', 'x'.repeat(1025), 'Ā'])('has no name %j', (bad) => {
    expect(isName(bad)).toBe(false)
  })
  test.each(['...', '.a', '\xff', '\n', ' ', 'x'.repeat(1024)])('may have the name %j', (good) => {
    expect(isName(good)).toBe(true)
  })
  test.each(['', 'a', '//', '/a/', '/a//b', '/./a', '/a/..', '/a\0', `/${'x'.repeat(8192)}`])(
    'has no directory %j',
    (bad) => {
      expect(isDir(bad)).toBe(false)
    },
  )
  test.each(['/', '/a', '/a/..b', '/.a/b', '/\xff/\n'])('may have the directory %j', (good) => {
    expect(isDir(good)).toBe(true)
  })
})
