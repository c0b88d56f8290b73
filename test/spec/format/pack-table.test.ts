import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FullLocator } from '#shared/format/locator.ts'
import {
  allPacks,
  findPacks,
  nextPackTableLevel,
  type PackRow,
  packTableLevel,
  readPackTable,
  type TableSegment,
} from '#shared/format/pack-table.ts'
import { createShelf, drive, idOf, isDamaged, type Shelf } from '../../support/format-material.ts'

const EPOCH = 2 ** 32

const sha = idOf('sha')
const header = idOf('header')

const rowOf = (pack: number): PackRow => ({
  pack,
  key: `vaults/v/packs/ab/${String(pack)}-ab.age`,
  size: 16_777_216 + (pack % 1000),
  sha256: sha,
  headerHash: header,
})

const build = (
  rows: readonly PackRow[],
  shelf: Shelf,
): { root: FullLocator; levels: number; segments: number } => {
  let level: readonly TableSegment[] = packTableLevel(rows)
  let segments = 0
  for (let levels = 1; ; levels += 1) {
    const placed = level.map((segment) => ({ segment, locator: shelf.put(segment.bytes) }))
    segments += placed.length
    if (placed.length === 1) return { root: placed[0]!.locator, levels, segments }
    level = nextPackTableLevel(placed)
  }
}

describe('a pack table', () => {
  const packs = fc
    .uniqueArray(
      fc
        .tuple(fc.nat({ max: 3 }), fc.integer({ min: 1, max: 3000 }))
        .map(([e, n]) => e * EPOCH + n),
      { maxLength: 400 },
    )
    .map((list) => list.toSorted((a, b) => a - b))

  test('finds exactly the rows that there are', () => {
    fc.assert(
      fc.property(packs, fc.array(fc.nat({ max: 3500 }), { maxLength: 20 }), (numbers, asked) => {
        const shelf = createShelf()
        const { root } = build(numbers.map(rowOf), shelf)
        const wanted = [...asked, ...numbers.filter((_, i) => i % 7 === 0)]
        const found = drive(findPacks(root, wanted), shelf)
        const expected = numbers.filter((n) => wanted.includes(n))
        expect([...found.entries()]).toEqual(expected.map((n) => [n, rowOf(n)]))
        expect(drive(allPacks(root), shelf)).toEqual(numbers.map(rowOf))
      }),
      { numRuns: 50 },
    )
  })

  test('of two hundred thousand packs in two epochs has three levels, and one lookup reads three segments', () => {
    const shelf = createShelf()
    const half = Array.from({ length: 100_000 }, (_, i) => i + 1)
    const rows = [...half, ...half.map((n) => 5 * EPOCH + n)].map(rowOf)
    const { root, levels } = build(rows, shelf)
    expect(levels).toBe(3)
    const found = drive(findPacks(root, [5 * EPOCH + 77_777]), shelf)
    expect([...found.keys()]).toEqual([5 * EPOCH + 77_777])
    expect(shelf.reads).toBe(3)
  })

  test('keeps the segments of old ranges when packs are added, and all but one when a pack goes', () => {
    const rows = Array.from({ length: 5000 }, (_, i) => rowOf(EPOCH + 1 + i))
    const hashes = (list: readonly PackRow[]): string[] =>
      packTableLevel(list).map((segment) => Buffer.from(segment.sha256).toString('hex'))
    const before = new Set(hashes(rows))
    const added = [...rows, ...Array.from({ length: 300 }, (_, i) => rowOf(EPOCH + 5001 + i))]
    expect(hashes(added).filter((hash) => !before.has(hash)).length).toBeLessThanOrEqual(3)
    expect(hashes(rows.toSpliced(2000, 1)).filter((hash) => !before.has(hash)).length).toBe(1)
  })

  test('is cut between numbers whose quotient by 256 differs', () => {
    const firsts = (numbers: readonly number[]): number[] =>
      packTableLevel(numbers.map(rowOf)).map((segment) => segment.first)
    expect(firsts([1, 255, 256, 511, 512])).toEqual([1, 256, 512])
    expect(firsts([7 * EPOCH - 1, 7 * EPOCH])).toEqual([7 * EPOCH - 1, 7 * EPOCH])
  })

  test('is not made of rows out of order', () => {
    expect(() => packTableLevel([rowOf(2), rowOf(2)])).toThrow(RangeError)
    expect(() => packTableLevel([rowOf(2), rowOf(1)])).toThrow(RangeError)
  })

  const row = (pack: number): string => JSON.stringify(Object.values(rowOf(pack)))
  const table = (lines: readonly string[], level = 0): Uint8Array =>
    Buffer.from(
      [
        `{"format":"holdfast/packs/v1","lines":${String(lines.length)},"level":${String(level)}}`,
        ...lines,
        '',
      ].join('\n'),
    )
  const child = JSON.stringify([5, [1, 0, 9, 0, 9, idOf('x'), 'vaults/k', 9, idOf('y'), idOf('z')]])
  test.each<[string, Uint8Array]>([
    ['a number twice', table([row(1), row(1)])],
    ['numbers out of order', table([row(2), row(1)])],
    ['the number 0', table([row(0)])],
    ['a row of four', table(['[1,"k",5,"x"]'])],
    ['a row without hash', table([row(1).replace(idOf('sha'), 'sha')])],
    ['a row with half a key', table([row(1).replace('vaults/', 'vaults\\n')])],
    ['a fractional size', table([row(1).replace('16777217', '1.5')])],
    ['an object as row', table(['{}'])],
    ['children out of order', table([child, child], 1)],
    ['a row above', table([row(1)], 1)],
    ['nothing above', table([], 1)],
  ])('is refused with %s', (_, bytes) => {
    expect(readPackTable(table([row(1), row(2)])).level).toBe(0)
    expect(isDamaged(() => readPackTable(bytes))).toBe(true)
  })

  test('whose upper level points to another level is refused', () => {
    const shelf = createShelf()
    const leaf = shelf.put(table([row(5)]))
    const skip = shelf.put(table([JSON.stringify([5, leaf])], 2))
    expect(isDamaged(() => drive(allPacks(skip), shelf))).toBe(true)
    const right = shelf.put(table([JSON.stringify([5, leaf])], 1))
    expect(drive(allPacks(right), shelf)).toEqual([rowOf(5)])
  })
})
