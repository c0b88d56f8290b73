import { describe, expect, test } from 'vitest'
import {
  type FenceSegment,
  type Fenced,
  fenceLevel,
  locateSegments,
  nextFenceLevel,
  readFence,
} from '#shared/format/fence.ts'
import type { FullLocator, Locator } from '#shared/format/locator.ts'
import { createSegmenter, readSegment } from '#shared/format/segment.ts'
import { encodeEntry } from '#shared/format/tree.ts'
import { type Place, type Range, sideOf } from '#shared/format/tree-order.ts'
import {
  createShelf,
  dice,
  drive,
  fileOf,
  idOf,
  isDamaged,
  keyOf,
  locatorOf,
  placesOf,
  type Shelf,
} from '../../support/format-material.ts'

const key = keyOf('segment')

/** Places the levels until one segment is left. */
const build = (
  items: readonly Fenced<Locator>[],
  shelf: Shelf,
): { root: FullLocator; levels: number } => {
  let level: readonly FenceSegment[] = fenceLevel(key, items)
  for (let levels = 1; ; levels += 1) {
    const placed = level.map((segment) => ({ segment, locator: shelf.put(segment.bytes) }))
    if (placed.length === 1) return { root: placed[0]!.locator, levels }
    level = nextFenceLevel(key, placed)
  }
}

/** A tree of `count` segments of three entries each, as far as a fence can tell. */
const places = placesOf(60_000)
const items: readonly Fenced<Locator>[] = places
  .filter((_, i) => i % 3 === 0)
  .map((first, i) => ({ first, locator: locatorOf(i) }))
const numberOf = new Map(items.map((item, i) => [item.locator[5], i]))
const shelf = createShelf()
const { root, levels } = build(items, shelf)

/** Which segments hold an entry of the range, by looking at every entry. */
const model = (range: Range): readonly number[] => [
  ...new Set(places.flatMap((place, i) => (sideOf(range, place) === 0 ? [Math.floor(i / 3)] : []))),
]

const rangesFor = (place: Place): readonly Range[] => [
  { at: 'entry', ...place },
  { at: 'listing', dir: place.dir },
  { at: 'subtree', dir: place.dir },
  { at: 'subtree', dir: place.dir.slice(0, place.dir.indexOf('/', 1) >>> 0) },
  { at: 'entry', dir: place.dir, name: `${place.name}~` },
  { at: 'listing', dir: `${place.dir}/gone` },
  { at: 'subtree', dir: `${place.dir}-gone` },
]

describe('a fence over twenty thousand segments', () => {
  test('has two levels, and finds them all in order', () => {
    expect(levels).toBe(2)
    expect(drive(locateSegments(root, { at: 'all' }), shelf)).toEqual(items)
  })

  test('finds for any range what looking at every entry finds, and at most one segment more', () => {
    const roll = dice(5)
    for (let round = 0; round < 8; round += 1) {
      for (const range of rangesFor(places[roll(places.length)]!)) {
        const wanted = model(range)
        const got = drive(locateSegments(root, range), shelf)
        const numbers = got.map((item) => numberOf.get(item.locator[5])!)
        expect(numbers).toEqual(expect.arrayContaining([...wanted]))
        expect(numbers.length - wanted.length).toBeLessThanOrEqual(1)
        expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
      }
    }
  })

  test('reads at most two of its segments a level for one listing', () => {
    const roll = dice(9)
    for (let round = 0; round < 20; round += 1) {
      const { dir } = places[roll(places.length)]!
      const before = shelf.reads
      drive(locateSegments(root, { at: 'listing', dir }), shelf)
      expect(shelf.reads - before).toBeLessThanOrEqual(3)
    }
  })

  test('changes by one segment a level when one segment of the tree moves, and by three when one goes', () => {
    const other = createShelf()
    const count = (changed: readonly Fenced<Locator>[]): number =>
      fenceLevel(key, changed).filter((segment) => {
        try {
          shelf.read([1, 0, 1, 0, 1, other.put(segment.bytes)[5]])
          return false
        } catch {
          return true
        }
      }).length
    expect(count(items)).toBe(0)
    expect(count(items.with(7000, { ...items[7000]!, locator: locatorOf(5) }))).toBe(1)
    expect(count(items.toSpliced(7000, 1))).toBeLessThanOrEqual(3)
  })
})

describe('a fence', () => {
  test('of a small tree is one segment, and of an empty one too', () => {
    const small = build(items.slice(0, 5), shelf)
    expect(small.levels).toBe(1)
    expect(drive(locateSegments(small.root, { at: 'all' }), shelf)).toEqual(items.slice(0, 5))
    const empty = build([], shelf)
    expect(drive(locateSegments(empty.root, { at: 'all' }), shelf)).toEqual([])
  })

  test('leads to real segments: what they hold of a folder is the folder', () => {
    const segmenter = createSegmenter(key)
    const list = places.slice(0, 9000)
    const segments = list.flatMap(({ dir, name }, i) =>
      segmenter.push(dir, name, encodeEntry(name, fileOf(i))),
    )
    const fenced = [...segments, ...segmenter.end()].map((segment) => {
      const full = shelf.put(segment.bytes)
      const [pack, at, length, offset, size, id] = full
      return { first: segment.first, locator: [pack, at, length, offset, size, id] as const }
    })
    const top = build(fenced, shelf).root
    for (const { dir } of [list[0]!, list[4000]!, list[8999]!]) {
      const range: Range = { at: 'listing', dir }
      const found = drive(locateSegments(top, range), shelf)
        .flatMap(({ locator }) => [...readSegment(shelf.read(locator))])
        .filter((line) => sideOf(range, line) === 0)
      expect(found.map(({ name }) => name)).toEqual(
        list.filter((place) => place.dir === dir).map(({ name }) => name),
      )
    }
  })

  test('is refused when a segment of it is not the one that was named', () => {
    const steps = locateSegments(root, { at: 'all' })
    steps.next()
    const text = Buffer.from(shelf.read(root)).toString()
    const other = text.replace(/"([^"]{43})"/, (_, id: string) => `"${id.slice(1)}A"`)
    expect(other.length).toBe(text.length)
    expect(isDamaged(() => steps.next(Buffer.from(other)))).toBe(true)
  })

  const at = JSON.stringify(locatorOf(1))
  const full = JSON.stringify([...locatorOf(1), 'vaults/k', 9, idOf('a'), idOf('b')])
  const line = (dir: string, n: string, to = at): string => `{"dir":"${dir}","n":"${n}","at":${to}}`
  const fence = (lines: readonly string[], head = '"level":0'): Uint8Array =>
    Buffer.from(
      [`{"format":"holdfast/fence/v1","lines":${String(lines.length)},${head}}`, ...lines, ''].join(
        '\n',
      ),
    )

  test.each<[string, Uint8Array]>([
    ['a place twice', fence([line('/', 'a'), line('/', 'a')])],
    ['places out of order', fence([line('/a', 'a'), line('/', 'b')])],
    ['a name that cannot be', fence([line('/', '..')])],
    ['a relative directory', fence([line('a', 'b')])],
    ['a full locator in a leaf', fence([line('/', 'a', full)])],
    ['a bare locator above', fence([line('/', 'a')], '"level":1')],
    ['nothing above', fence([], '"level":1')],
    ['a level beyond eight', fence([line('/', 'a', full)], '"level":9')],
    ['no level', fence([line('/', 'a')], '"x":0')],
    ['a list as line', fence(['[]'])],
    ['null as line', fence(['null'])],
    ['a line too few', fence([line('/', 'a')]).subarray(0, -2)],
    ['a key with a space', fence([line('/', 'a', full.replace('vaults/k', 'a b'))], '"level":1')],
  ])('is refused with %s', (_, bytes) => {
    expect(isDamaged(() => readFence(bytes))).toBe(true)
  })

  test('with an upper level that misstates what lies below is refused', () => {
    const leaf = shelf.put(fence([line('/b', 'x')]))
    for (const [first, level] of [
      ['/a', 1],
      ['/b', 2],
    ] as const) {
      const upper = shelf.put(
        fence([line(first, 'x', JSON.stringify(leaf))], `"level":${String(level)}`),
      )
      expect(isDamaged(() => drive(locateSegments(upper, { at: 'all' }), shelf))).toBe(true)
    }
    const right = shelf.put(fence([line('/b', 'x', JSON.stringify(leaf))], '"level":1'))
    expect(drive(locateSegments(right, { at: 'all' }), shelf)).toHaveLength(1)
  })
})
