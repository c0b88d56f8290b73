import { expect, test } from 'vitest'
import { isInShare, sampleShare } from '#server/core/verification/sample.ts'
import { numbersIn, runsOf } from '#server/core/verification/restore-checkpoint.ts'
import { GiB, MiB, TiB } from '#shared/units.ts'

test('a sample is a twentieth, all of few objects, and no more than a GiB of many', () => {
  expect(sampleShare({ objects: 10, bytes: 10 * MiB })).toBe(1)
  expect(sampleShare({ objects: 0, bytes: 0 })).toBe(1)
  expect(sampleShare({ objects: 100, bytes: 100 * MiB })).toBe(0.16)
  expect(sampleShare({ objects: 1000, bytes: 10 * GiB })).toBe(0.05)
  expect(sampleShare({ objects: 65_536, bytes: TiB })).toBe(1 / 1024)
})

test('the same seed picks the same objects, another one others, about as many as wanted', () => {
  const all = Array.from({ length: 20_000 }, (_, i) => 2 ** 32 + i)
  const picked = (seed: string): number[] =>
    all.filter((no) => isInShare({ seed, share: 0.05 }, no))
  expect(picked('a')).toEqual(picked('a'))
  expect(picked('b')).not.toEqual(picked('a'))
  for (const seed of ['a', 'b', 'c']) {
    expect(picked(seed).length).toBeGreaterThan(850)
    expect(picked(seed).length).toBeLessThan(1150)
  }
  expect(all.every((no) => isInShare({ seed: 'a', share: 1 }, no))).toBe(true)
})

test('numbers that follow each other are kept as runs', () => {
  const numbers = [7, 5, 6, 2 ** 32 + 1, 9]
  expect(runsOf(numbers)).toEqual([
    [5, 3],
    [9, 1],
    [2 ** 32 + 1, 1],
  ])
  expect([...numbersIn(runsOf(numbers))]).toEqual(numbers.toSorted((a, b) => a - b))
})
