import { expect, test } from 'vitest'
import { leftAt, readTags, withoutTag, withTag, writeTags } from '#agent/core/restore-tags.ts'
import { createShelf } from '#agent/core/restore-shelf.ts'
import { isOver, troubleAfter } from '#agent/core/trouble.ts'
import { DAY } from '#shared/units.ts'

test('a shelf holds what was used last, up to its bytes', () => {
  const shelf = createShelf(100)
  const bytes = (length: number): Uint8Array => new Uint8Array(length)
  shelf.put('a', bytes(40))
  shelf.put('b', bytes(40))
  expect(shelf.get('a')?.length).toBe(40)
  shelf.put('c', bytes(30))
  expect(['a', 'b', 'c'].map((id) => shelf.get(id)?.length)).toEqual([40, undefined, 30])
  shelf.put('d', bytes(101))
  expect(['a', 'c', 'd'].map((id) => shelf.get(id)?.length)).toEqual([40, 30, undefined])
})

test('tags of restores that were killed are kept for the same place, and for a while', () => {
  const tag = (n: number, target: string, begun: number): Parameters<typeof withTag>[1] => ({
    tag: String(n).padStart(12, '0'),
    target,
    begun,
  })
  let tags = readTags(null)
  for (const [n, target, begun] of [
    [1, '/a', 0],
    [2, '', DAY],
    [3, '/a', 2 * DAY],
  ] as const)
    tags = withTag(tags, tag(n, target, begun))
  expect(leftAt(tags, '/a')).toEqual(['000000000001', '000000000003'])
  expect(leftAt(tags, '/b')).toEqual([])
  expect(leftAt(withoutTag(tags, '000000000003'), '/a')).toEqual(['000000000001'])
  expect(leftAt(withTag(tags, tag(4, '/b', 90 * DAY)), '/a')).toEqual(['000000000003'])
  expect(readTags(writeTags(tags))).toEqual(tags)
  for (let n = 5; n < 200; n += 1) tags = withTag(tags, tag(n, '/a', 3 * DAY))
  expect(tags).toHaveLength(64)
})

test.each([
  '{',
  '{"version":2,"tags":[]}',
  '{"version":1,"tags":[{"tag":"../..","target":"","begun":0}]}',
])('a file of tags that is not ours is said to be damaged', (text) => {
  expect(() => readTags(Buffer.from(text))).toThrow(/damaged/)
})

test('what fails for long enough is over; refusals are over sooner, if nothing else comes between', () => {
  const patience = { away: 100, refused: 10 }
  const first = troubleAfter(null, true, 0)
  expect(isOver(troubleAfter(first, true, 9), 9, patience)).toBe(false)
  expect(isOver(troubleAfter(first, true, 10), 10, patience)).toBe(true)
  const busy = troubleAfter(first, false, 5)
  expect(isOver(troubleAfter(busy, true, 14), 14, patience)).toBe(false)
  expect(isOver(troubleAfter(busy, false, 100), 100, patience)).toBe(true)
})
