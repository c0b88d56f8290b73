import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { hasCode } from '#shared/errors.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { verifySegment } from '#shared/format/lines.ts'
import type { Locator } from '#shared/format/locator.ts'
import { createSegmenter, readSegment, type Segment } from '#shared/format/segment.ts'
import { encodeEntry, type Entry } from '#shared/format/tree.ts'
import type { Place } from '#shared/format/tree-order.ts'
import { KiB, MiB } from '#shared/units.ts'
import { dice, fileOf, inOrder, isDamaged, keyOf, placesOf } from '../../support/format-material.ts'

const key = keyOf('segment')
type Line = Place & { readonly line: string }

const linesOf = (places: readonly Place[], entry: (i: number) => Entry): readonly Line[] =>
  places.map((place, i) => ({ ...place, line: encodeEntry(place.name, entry(i)) }))

const segmentsOf = (lines: readonly Line[]): readonly Segment[] => {
  const segmenter = createSegmenter(key)
  const segments = lines.flatMap(({ dir, name, line }) => segmenter.push(dir, name, line))
  return [...segments, ...segmenter.end()]
}

const readAll = (segments: readonly Segment[]): readonly Line[] =>
  segments.flatMap(({ bytes }) =>
    [...readSegment(bytes)].map(({ dir, name, line }) => ({ dir, name, line })),
  )

const shaOf = (segment: Segment): string => toBase64url(segment.sha256)

const places = placesOf(20_000)
const lines = linesOf(places, fileOf)
const segments = segmentsOf(lines)

describe('the segments of a tree', () => {
  test('give back every line at its place, and each begins where it says', () => {
    expect(readAll(segments)).toEqual(lines)
    for (const segment of segments) {
      const [first] = readSegment(segment.bytes)
      expect(segment.first).toEqual({ dir: first!.dir, name: first!.name })
      expect(createHash('sha256').update(segment.bytes).digest()).toEqual(
        Buffer.from(segment.sha256),
      )
    }
  })

  test('have at least 640 entries each, and about 256 KiB on average', () => {
    const counts = segments.map(({ bytes }) => [...readSegment(bytes)].length)
    for (const count of counts) expect(count).toBeGreaterThanOrEqual(640)
    const average = segments.reduce((sum, { bytes }) => sum + bytes.length, 0) / segments.length
    expect(average).toBeGreaterThan(150 * KiB)
    expect(average).toBeLessThan(500 * KiB)
  })

  test('keep their boundaries when every time changes', () => {
    const later = linesOf(places, (i) => ({ ...fileOf(i), mtime: 1_800_000_000_000_000_001n }))
    expect(segmentsOf(later).map((segment) => segment.first)).toEqual(
      segments.map((segment) => segment.first),
    )
  })

  test('stay the same but for one when one entry changes', () => {
    const before = new Set(segments.map(shaOf))
    const changed = lines.with(9000, {
      ...places[9000]!,
      line: encodeEntry(places[9000]!.name, { ...fileOf(9000), mtime: 5n }),
    })
    expect(segmentsOf(changed).filter((segment) => !before.has(shaOf(segment))).length).toBe(1)
  })

  test('stay the same but for three when an entry comes or goes', () => {
    const roll = dice(3)
    const before = new Set(segments.map(shaOf))
    for (let round = 0; round < 12; round += 1) {
      const at = roll(lines.length)
      const fresh = { dir: places[at]!.dir, name: `!${String(round)}` }
      const more = inOrder([...places, fresh])
      const byPlace = new Map(lines.map((l) => [`${l.dir}/${l.name}`, l.line]))
      const added = more.map((p) => ({
        ...p,
        line: byPlace.get(`${p.dir}/${p.name}`) ?? encodeEntry(p.name, fileOf(1)),
      }))
      const news = segmentsOf(added).filter((segment) => !before.has(shaOf(segment)))
      expect(news.length).toBeLessThanOrEqual(3)
      const less = segmentsOf(lines.toSpliced(at, 1)).filter((s) => !before.has(shaOf(s)))
      expect(less.length).toBeLessThanOrEqual(3)
    }
  })

  test('are at most 1 MiB and a header, also where lines are long and directories deep', () => {
    const wide = linesOf(places.slice(0, 2500), (i) => fileOf(i, 64))
    const deep = Array.from({ length: 600 }, (_, i) => ({
      dir: `/${String(i).padStart(4, '0')}${'/\x01\x02\x03\x04\x05\x06\x07'.repeat(900)}`,
      name: '\x01'.repeat(1000),
    }))
    for (const list of [wide, linesOf(deep, fileOf)]) {
      const cut = segmentsOf(list)
      expect(cut.length).toBeGreaterThan(3)
      for (const { bytes } of cut) {
        expect(bytes.length).toBeLessThanOrEqual(MiB + 64 * KiB)
        expect(bytes.length).toBeGreaterThanOrEqual(64 * KiB)
      }
      expect(readAll(cut)).toEqual(list)
    }
  })

  test('of names that are not UTF-8 give the same bytes back', () => {
    const odd = inOrder(
      ['/', '/\xff', '/\xc3\xbc', '/a\nb', '/a\nb/\x80'].flatMap((dir) =>
        ['\x01', '\xfe', '\xc3\xbc', 'q"\\', '\n'].map((name) => ({ dir, name })),
      ),
    )
    expect(readAll(segmentsOf(linesOf(odd, fileOf)))).toEqual(linesOf(odd, fileOf))
  })

  test('are not made out of order, nor of the same place twice', () => {
    const segmenter = createSegmenter(key)
    segmenter.push('/a', 'b', lines[0]!.line)
    expect(() => segmenter.push('/a', 'b', lines[0]!.line)).toThrow(RangeError)
    expect(() => segmenter.push('/', 'z', lines[0]!.line)).toThrow(RangeError)
  })

  test('are the same where a line lies in memory already', () => {
    const segmenter = createSegmenter(key)
    const some = linesOf(places.slice(0, 3000), (i) => ({ ...fileOf(i), user: 'Zoë' }))
    const stored = some.flatMap(({ dir, name, line }, i) => {
      const raw = Buffer.from(`before ${line} after`)
      const at = { raw, from: 7, to: raw.length - 6 }
      return segmenter.push(dir, name, i % 3 === 0 ? line : at)
    })
    expect([...stored, ...segmenter.end()]).toEqual(segmentsOf(some))
  })

  test('of nothing are none', () => {
    expect(createSegmenter(key).end()).toEqual([])
  })
})

describe('a segment', () => {
  const small = segmentsOf(
    linesOf(
      inOrder([
        { dir: '/', name: 'a' },
        { dir: '/', name: 'b' },
        { dir: '/a', name: 'x' },
        { dir: '/a', name: 'y' },
        { dir: '/b', name: 'z' },
      ]),
      fileOf,
    ),
  )[0]!
  const text = Buffer.from(small.bytes).toString('utf8')
  const rows = text.slice(0, -1).split('\n')
  const read = (content: string | Uint8Array): unknown => [...readSegment(Buffer.from(content))]
  const join = (list: readonly string[]): string => `${list.join('\n')}\n`
  const counted = (list: readonly string[], head = ''): string =>
    join([`{"format":"holdfast/tree/v1","lines":${String(list.length)},"dir":"/"${head}}`, ...list])

  test('is lines: a header with the count and the directory, entries, and markers of further directories', () => {
    expect(rows[0]).toBe('{"format":"holdfast/tree/v1","lines":7,"dir":"/"}')
    expect(rows[3]).toBe('{"dir":"/a"}')
    expect(rows[6]).toBe('{"dir":"/b"}')
    expect(counted(rows.slice(1))).toBe(text)
  })

  test('is refused at every truncation', () => {
    for (let length = 0; length < small.bytes.length; length += 1) {
      expect(isDamaged(() => read(small.bytes.subarray(0, length)))).toBe(true)
    }
  })

  test('with lines exchanged, left out or doubled is not the one its locator names, and is never read out of order', () => {
    const at: Locator = [1, 0, 100, 0, small.bytes.length, shaOf(small)]
    const others = rows.flatMap((row, i) => [
      rows.toSpliced(i, 1),
      rows.toSpliced(i, 0, row),
      ...rows.slice(i + 1).map((other, k) => rows.with(i, other).with(i + 1 + k, row)),
    ])
    for (const other of others) {
      const content = Buffer.from(join(other))
      expect(isDamaged(() => verifySegment(content, at))).toBe(true)
      expect(other.length !== rows.length && !isDamaged(() => read(content))).toBe(false)
      if (isDamaged(() => read(content))) continue
      const got = [...readSegment(content)]
      expect(got.map(({ dir, name }) => ({ dir, name }))).toEqual(
        inOrder(got.map(({ dir, name }) => ({ dir, name }))),
      )
    }
  })

  const [x, y] = [rows[1]!, rows[2]!]
  test.each<[string, string]>([
    ['a name twice', counted([x, x])],
    ['names out of order', counted([y, x])],
    ['no entries', counted([])],
    ['a directory without entries', counted([x, '{"dir":"/a"}'])],
    ['an empty directory in between', counted(['{"dir":"/a"}', x])],
    ['two markers in a row', counted([x, '{"dir":"/a"}', '{"dir":"/b"}', y])],
    ['the same directory again', counted([x, '{"dir":"/"}', y])],
    ['directories out of order', counted([x, '{"dir":"/b"}', x, '{"dir":"/a"}', x])],
    ['a directory that goes up', counted([x, '{"dir":"/b/.."}', x])],
    ['a relative directory', counted([x, '{"dir":"b"}', x])],
    ['an empty line', counted([x, '', y])],
    ['a byte order mark', `\ufeff${counted([x])}`],
    ['no newline at its end', counted([x]).slice(0, -1)],
    ['another format', counted([x]).replace('tree', 'fence')],
    ['requires that are no list', counted([x], ',"requires":"x"')],
  ])('is refused with %s', (_, content) => {
    expect(read(counted([x, y]))).toHaveLength(2)
    expect(isDamaged(() => read(content))).toBe(true)
  })

  test('is refused where it is not UTF-8, and where it is too long', () => {
    const bad = Buffer.from(counted([x]), 'utf8')
    bad[bad.indexOf('"n":"a') + 5] = 0xff
    expect(isDamaged(() => read(bad))).toBe(true)
    expect(isDamaged(() => read(Buffer.alloc(2 * MiB, '\n')))).toBe(true)
  })

  test('that needs an unknown feature or a later version says so; further fields are passed over', () => {
    const refused = (content: string): boolean => {
      try {
        read(content)
        return false
      } catch (error) {
        return hasCode(error, 'UNSUPPORTED')
      }
    }
    expect(refused(counted([x], ',"requires":["colours"]'))).toBe(true)
    expect(refused(counted([x]).replace('tree/v1', 'tree/v2'))).toBe(true)
    expect(read(counted([x], ',"requires":[],"later":true'))).toHaveLength(1)
  })

  test('is only taken for the one that its locator names', () => {
    const at: Locator = [1, 0, 100, 0, small.bytes.length, shaOf(small)]
    expect(isDamaged(() => verifySegment(small.bytes, at))).toBe(false)
    const flipped = Buffer.from(small.bytes)
    flipped[flipped.length - 5] = flipped[flipped.length - 5]! ^ 1
    expect(isDamaged(() => verifySegment(flipped, at))).toBe(true)
    expect(isDamaged(() => verifySegment(small.bytes, [1, 0, 100, 0, 5, shaOf(small)]))).toBe(true)
  })
})
