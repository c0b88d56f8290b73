import { describe, expect, test } from 'vitest'
import {
  buildContentLists,
  type ContentSegment,
  contentLevel,
  readContentList,
  walkContentLists,
} from '#shared/format/content-list.ts'
import type { Locator } from '#shared/format/locator.ts'
import { KiB } from '#shared/units.ts'
import { createShelf, isDamaged, locatorOf, type Shelf } from '../../support/format-material.ts'

const bare = (locator: readonly [...Locator, ...unknown[]]): Locator => [
  locator[0],
  locator[1],
  locator[2],
  locator[3],
  locator[4],
  locator[5],
]

const build = (
  locators: readonly Locator[],
  shelf: Shelf,
): { more: readonly Locator[] | null; levels: ContentSegment[][] } => {
  const levels: ContentSegment[][] = []
  const steps = buildContentLists(locators)
  let step = steps.next()
  while (step.done !== true) {
    levels.push([...step.value])
    step = steps.next(step.value.map((segment) => bare(shelf.put(segment.bytes))))
  }
  return { more: step.value, levels }
}

const walk = (more: readonly Locator[], shelf: Shelf): Locator[] => {
  const found: Locator[] = []
  const steps = walkContentLists(more)
  let step = steps.next()
  while (step.done !== true) {
    if (step.value.blobs !== undefined) found.push(...step.value.blobs)
    step = steps.next(step.value.fetch === undefined ? undefined : shelf.read(step.value.fetch))
  }
  return found
}

const many = Array.from({ length: 20_000 }, (_, i) => locatorOf(i))

describe('content lists', () => {
  test('are not made for 64 blobs, and for 65 they are', () => {
    const shelf = createShelf()
    expect(build(many.slice(0, 64), shelf).more).toBeNull()
    const { more } = build(many.slice(0, 65), shelf)
    expect(more).toHaveLength(1)
    expect(walk(more ?? [], shelf)).toEqual(many.slice(0, 65))
  })

  test('of a large file nest until at most 64 are left, and give back every locator in order', () => {
    const shelf = createShelf()
    const { more, levels } = build(many, shelf)
    expect(levels).toHaveLength(2)
    expect(more!.length).toBeLessThanOrEqual(64)
    expect(walk(more!, shelf)).toEqual(many)
    const average = levels[0]!.reduce((sum, { bytes }) => sum + bytes.length, 0) / levels[0]!.length
    expect(average).toBeGreaterThan(10 * KiB)
    expect(average).toBeLessThan(50 * KiB)
  })

  test('change by a few segments, kilobytes in all, when blobs change, come and go', () => {
    const shelf = createShelf()
    const before = new Set(
      build(many, shelf)
        .levels.flat()
        .map(({ sha256 }) => Buffer.from(sha256).toString('hex')),
    )
    const fresh = locatorOf(999_999)
    for (const changed of [
      many.with(9000, fresh),
      many.toSpliced(9000, 2, fresh, fresh, fresh),
      many.toSpliced(0, 1),
    ]) {
      const news = build(changed, shelf)
        .levels.flat()
        .filter(({ sha256 }) => !before.has(Buffer.from(sha256).toString('hex')))
      expect(news.length).toBeLessThanOrEqual(8)
      expect(news.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeLessThan(400 * KiB)
    }
  })

  test('of one blob over and over stay small and give it back', () => {
    const shelf = createShelf()
    const same = Array.from({ length: 12_000 }, () => locatorOf(1))
    const { more, levels } = build(same, shelf)
    for (const { bytes } of levels.flat()) expect(bytes.length).toBeLessThan(130 * KiB)
    expect(walk(more!, shelf)).toEqual(same)
  })

  test('are the same pushed one by one or all at once', () => {
    expect(contentLevel(many.values(), 0)).toEqual(contentLevel(many, 0))
  })

  const line = JSON.stringify(locatorOf(1))
  const list = (lines: readonly string[], level: number | string = 0): Uint8Array =>
    Buffer.from(
      [
        `{"format":"holdfast/content/v1","lines":${String(lines.length)},"level":${String(level)}}`,
        ...lines,
        '',
      ].join('\n'),
    )

  test.each<[string, Uint8Array]>([
    ['nothing in it', list([])],
    ['a line that is no locator', list(['[1,2,3]'])],
    ['an object', list(['{}'])],
    ['a level of text', list([line], '"0"')],
    ['a level below zero', list([line], -1)],
    ['a level beyond eight', list([line], 9)],
    [
      'a line missing',
      Buffer.from(
        Buffer.from(list([line, line]))
          .toString()
          .replace(`${line}\n`, ''),
      ),
    ],
    [
      'another format',
      Buffer.from(
        Buffer.from(list([line]))
          .toString()
          .replace('content', 'tree'),
      ),
    ],
  ])('are refused with %s', (_, bytes) => {
    expect(readContentList(list([line]))).toEqual({ level: 0, locators: [locatorOf(1)] })
    expect(isDamaged(() => readContentList(bytes))).toBe(true)
  })

  test('are refused at every truncation', () => {
    const bytes = list([line, line])
    for (let length = 0; length < bytes.length; length += 1) {
      expect(isDamaged(() => readContentList(bytes.subarray(0, length)))).toBe(true)
    }
  })

  test('that are not the ones named, or skip a level, or lead to themselves, are refused', () => {
    const shelf = createShelf()
    const leaf = bare(shelf.put(list([line])))
    const upper = bare(shelf.put(list([JSON.stringify(leaf)], 2)))
    expect(isDamaged(() => walk([upper], shelf))).toBe(true)
    const other = leaf.with(4, leaf[4] + 1) as unknown as Locator
    expect(isDamaged(() => walk([other], shelf))).toBe(true)
    expect(walk([bare(shelf.put(list([JSON.stringify(leaf)], 1))), leaf], shelf)).toHaveLength(2)
  })
})
