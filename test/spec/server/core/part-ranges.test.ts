import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { rangesOf } from '#server/core/part-ranges.ts'
import { SEALED_SEGMENT, SEGMENT, sealedSize } from '#shared/format/age.ts'
import { KiB, MiB } from '#shared/units.ts'

const PREAMBLE = 216
const PLAIN = 16 * MiB
const size = sealedSize(PLAIN, PREAMBLE)

const frames = fc
  .array(fc.tuple(fc.integer({ min: 0, max: PLAIN - 1 }), fc.integer({ min: 1, max: MiB })), {
    maxLength: 40,
  })
  .map((list) => new Map(list.map(([at, length]) => [at, Math.min(length, PLAIN - at)] as const)))

describe('the ranges of an object', () => {
  test('hold every frame that is wanted, in whole segments, and lie apart', () => {
    fc.assert(
      fc.property(frames, (wanted) => {
        const ranges = rangesOf(wanted, { size, preamble: PREAMBLE })
        for (const [at, length] of wanted) {
          const first = PREAMBLE + Math.floor(at / SEGMENT) * SEALED_SEGMENT
          const last = PREAMBLE + Math.floor((at + length - 1) / SEGMENT) * SEALED_SEGMENT
          expect(ranges.some(([start, end]) => start <= first && last < end)).toBe(true)
        }
        for (const [i, [start, end]] of ranges.entries()) {
          expect(start).toBeLessThan(end)
          expect(end).toBeLessThanOrEqual(size)
          if (i > 0) expect(start - (ranges[i - 1]?.[1] ?? 0)).toBeGreaterThan(256 * KiB)
        }
        const read = ranges.reduce((sum, [start, end]) => sum + end - start, 0)
        expect(read).toBeLessThanOrEqual(size - PREAMBLE)
      }),
    )
  })

  test('are one where all of the object is nearer, or where its header is not known', () => {
    expect(rangesOf(new Map([[0, 5]]), { size, preamble: null })).toEqual([[0, size]])
    const large = sealedSize(64 * MiB, PREAMBLE)
    const many = new Map(Array.from({ length: 100 }, (_, i) => [i * 512 * KiB, 1] as const))
    expect(rangesOf(many, { size: large, preamble: PREAMBLE })).toEqual([[0, large]])
    const few = new Map([...many].slice(0, 60))
    expect(rangesOf(few, { size: large, preamble: PREAMBLE })).toHaveLength(60)
  })

  test('of a frame outside the object are damage', () => {
    expect(() => rangesOf(new Map([[PLAIN, 1]]), { size, preamble: PREAMBLE })).toThrow(
      expect.objectContaining({ code: 'DAMAGED' }) as Error,
    )
  })
})
