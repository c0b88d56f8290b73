import { describe, expect, test } from 'vitest'
import { decodeFrame, encodeFrame, frameOf, MAX_CONTENT, shrinks } from '#shared/format/frame.ts'
import { MAX_FRAME } from '#shared/format/locator.ts'
import { storeFrame } from '#shared/format/zstd.ts'
import { KiB, MiB } from '#shared/units.ts'
import { bytesOf, isDamaged } from '../../support/format-material.ts'

const textOf = (size: number): Buffer => Buffer.alloc(size, 'a line of text that repeats\n')
const SIZES = [1, 4095, 16 * KiB - 1, 16 * KiB, MiB, MAX_CONTENT]

describe('a frame', () => {
  test.each(SIZES)(
    'of %i bytes is stored when random, compressed when not, and gives its content back',
    (size) => {
      const random = bytesOf(size)
      const stored = frameOf(random)
      expect(stored.length).toBe(storeFrame(random).length)
      expect(Buffer.from(decodeFrame(stored)).equals(random)).toBe(true)
      const text = frameOf(textOf(size))
      expect(text.length).toBeLessThanOrEqual(storeFrame(textOf(size)).length)
      expect(Buffer.from(decodeFrame(text)).equals(textOf(size))).toBe(true)
    },
  )

  test('never takes more than its bound, whatever it holds', () => {
    const random = bytesOf(MAX_CONTENT)
    expect(frameOf(random).length).toBeLessThanOrEqual(MAX_FRAME)
    expect(encodeFrame(random).length).toBeLessThanOrEqual(MAX_FRAME)
  })

  test('of over 4 MiB is neither made nor decoded', () => {
    const large = textOf(MAX_CONTENT + 1)
    expect(() => encodeFrame(large)).toThrow(RangeError)
    expect(isDamaged(() => decodeFrame(storeFrame(large)))).toBe(true)
    expect(isDamaged(() => decodeFrame(encodeFrame(textOf(1001)), 1000))).toBe(true)
  })

  test('is judged by samples: random bytes do not shrink, text and bytes in base64 do', () => {
    for (let i = 0; i < 20; i += 1) expect(shrinks(bytesOf(64 * KiB, String(i)))).toBe(false)
    expect(shrinks(textOf(MiB))).toBe(true)
    expect(shrinks(Buffer.from(bytesOf(MiB).toString('base64')))).toBe(true)
    const halves = Buffer.concat([bytesOf(512 * KiB), textOf(512 * KiB)])
    expect(shrinks(halves)).toBe(true)
  })
})
