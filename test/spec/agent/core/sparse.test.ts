import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dataRuns, gatherHoles, holesBefore, positionAfter, totalOf } from '#agent/core/sparse.ts'

const layout = fc
  .array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 20 })), { maxLength: 12 })
  .map((parts) => {
    let at = 0
    return parts.map(([gap, length], i) => {
      const offset = at + gap + (i === 0 ? 0 : 1)
      at = offset + length
      return [offset, length] as const
    })
  })

test('runs of data are what no hole covers, whatever part of the file is asked for', () => {
  fc.assert(
    fc.property(
      layout,
      fc.nat(250),
      fc.nat(250),
      fc.integer({ min: 1, max: 300 }),
      (holes, a, b, room) => {
        const [from, end] = a < b ? [a, b] : [b, a]
        const inHole = (at: number): boolean => holes.some(([o, n]) => at >= o && at < o + n)
        const all = Array.from({ length: end - from }, (_, i) => from + i)
        const wanted = all.filter((at) => !inHole(at)).slice(0, room)
        const runs = [...dataRuns(holes, { from, end, room })]
        const got = runs.flatMap(([offset, length]) => Array.from({ length }, (_, i) => offset + i))
        expect(got).toEqual(wanted)
        const last = wanted.at(-1)
        if (last !== undefined) expect(positionAfter(holes, from, wanted.length)).toBe(last + 1)
      },
    ),
  )
})

test('of too many holes the largest stay, in order', () => {
  const holes = gatherHoles()
  for (let i = 0; i < 50_000; i += 1) holes.add(i * 100, i % 50 === 7 ? 60 : 5)
  const kept = holes.take()
  expect(kept).toHaveLength(1024)
  expect(kept.filter(([, length]) => length === 60)).toHaveLength(1000)
  expect(kept.every(([offset], i) => i === 0 || offset > (kept[i - 1]?.[0] ?? 0))).toBe(true)
})

test('what lies behind the end of a file that has become shorter counts no more', () => {
  const holes = [[0, 10] as const, [20, 10] as const, [40, 1] as const]
  expect(holesBefore(holes, 30)).toEqual(holes.slice(0, 2))
  expect(totalOf(holes)).toBe(21)
})
