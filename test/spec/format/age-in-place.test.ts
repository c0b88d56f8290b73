import { describe, expect, test } from 'vitest'
import { openSegments, openSegmentsInPlace, SEGMENT, sealPayload } from '#shared/format/age.ts'
import { equalBytes, release } from '#shared/format/bytes.ts'
import { hasCode } from '#shared/errors.ts'
import { plainOf, secretOf } from '../../support/age-material.ts'

const key = secretOf('payload')

const sealedOf = (size: number): Uint8Array => Buffer.from(sealPayload(key, plainOf(size)))

describe('a payload opened in its own place', () => {
  test.each([0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + 17])(
    'of %i bytes is what it is elsewhere',
    (size) => {
      const sealed = sealedOf(size)
      const elsewhere = openSegments(key, sealed, 0, true)
      const plain = openSegmentsInPlace(key, sealed, 0, true)
      expect(equalBytes(plain, elsewhere)).toBe(true)
      expect(equalBytes(plain, plainOf(size))).toBe(true)
      expect(plain.buffer).toBe(sealed.buffer)
    },
  )

  test.each([0, 1, SEGMENT, 2 * SEGMENT + 1])('of %i bytes is refused with a flip', (size) => {
    const sealed = sealedOf(size)
    sealed[sealed.length - 1] = (sealed.at(-1) ?? 0) ^ 1
    let problem: unknown
    try {
      openSegmentsInPlace(key, sealed, 0, true)
    } catch (error) {
      problem = error
    }
    expect(hasCode(problem, 'DAMAGED')).toBe(true)
  })
})

describe('memory that is given back', () => {
  test('is gone at once where it belongs to nothing else', () => {
    const own = Buffer.allocUnsafeSlow(SEGMENT)
    release(own.subarray(0, SEGMENT - 1))
    expect(own.length).toBe(0)
  })

  test('stays where small buffers share it', () => {
    const sizes = [1, 100, (Buffer.poolSize >>> 1) - 1]
    const shared = sizes.map((size) => Buffer.allocUnsafe(size).fill(7))
    for (const one of shared) release(one)
    expect(shared.map((one) => one.length)).toEqual(sizes)
    expect(shared.every((one) => one.every((byte) => byte === 7))).toBe(true)
  })
})
