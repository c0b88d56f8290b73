import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hasCode } from '#shared/errors.ts'
import { concat, equalBytes } from '#shared/format/bytes.ts'
import {
  checkPadding,
  NO_INDEX,
  paddedLength,
  paddingFrame,
  padme,
  readTrailer,
} from '#shared/format/padding.ts'
import {
  decodeFrame,
  encodeFrame,
  frameContentSize,
  frameLength,
  skippableFrame,
  skippablePayload,
  storeFrame,
} from '#shared/format/zstd.ts'
import { KiB, MiB } from '#shared/units.ts'
import { plainOf } from '../../support/age-material.ts'

const isDamaged = (run: () => unknown): boolean => {
  try {
    run()
    return false
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return true
    throw error
  }
}

const textOf = (size: number): Uint8Array => Buffer.alloc(size, 'neither random nor all the same, ')
const SIZES = [
  0,
  1,
  255,
  256,
  257,
  65_791,
  65_792,
  128 * KiB - 1,
  128 * KiB,
  128 * KiB + 1,
  4 * MiB,
]

describe('a zstd frame', () => {
  test.each(SIZES)('over %i bytes gives them back, compressed or stored', (size) => {
    for (const content of [textOf(size), plainOf(size)]) {
      for (const frame of [
        encodeFrame(content, { level: 1 }),
        encodeFrame(content, { level: 3 }),
        storeFrame(content),
      ]) {
        expect(frameContentSize(frame)).toBe(size)
        expect(frameLength(frame)).toBe(frame.length)
        expect(equalBytes(decodeFrame(frame, size), content)).toBe(true)
      }
    }
  })

  test('stored costs 13 bytes and 3 for each further 128 KiB at most', () => {
    for (const size of SIZES) {
      const cost = storeFrame(plainOf(size)).length - size
      expect(cost).toBeLessThanOrEqual(9 + 3 * Math.max(1, Math.ceil(size / (128 * KiB))))
    }
  })

  test('is refused when it declares more than the limit, before anything is decoded', () => {
    const frame = encodeFrame(textOf(1000), { level: 3 })
    expect(isDamaged(() => decodeFrame(frame, 999))).toBe(true)
    // A header that promises 2^62 bytes and has no more.
    const huge = Buffer.from('28b52ffde00000000000000040', 'hex')
    expect(isDamaged(() => decodeFrame(huge, 4 * MiB))).toBe(true)
    const large = Buffer.from('28b52ffde00000000001000000010000', 'hex')
    expect(isDamaged(() => decodeFrame(large, 4 * MiB))).toBe(true)
  })

  test('is refused when it declares no size, another size, a dictionary or a reserved bit', () => {
    const streamed = zstdCompressSync(textOf(1000), {
      params: { [constants.ZSTD_c_contentSizeFlag]: 0 },
    })
    expect(isDamaged(() => decodeFrame(streamed, 4 * MiB))).toBe(true)
    for (const [at, value] of [
      [5, 0xe7],
      [5, 0xe9],
      [4, 0x61],
      [4, 0x68],
    ] as const) {
      const bad = Uint8Array.from(encodeFrame(textOf(256 + 0xe8), { level: 3 }))
      bad[at] = value
      expect([at, value, isDamaged(() => decodeFrame(bad, 4 * MiB))]).toEqual([at, value, true])
    }
  })

  test('is refused with anything before or after it, another frame or a skippable one too', () => {
    const frame = encodeFrame(textOf(1000), { level: 3 })
    const extras = [frame, skippableFrame(new Uint8Array(3)), Uint8Array.of(0)]
    for (const extra of extras) {
      expect(isDamaged(() => decodeFrame(concat([frame, extra]), 4 * MiB))).toBe(true)
      expect(isDamaged(() => decodeFrame(concat([extra, frame]), 4 * MiB))).toBe(true)
      expect(frameLength(concat([frame, extra]))).toBe(frame.length)
    }
  })

  test('is refused when cut at any length', () => {
    for (const frame of [encodeFrame(textOf(3000), { level: 3 }), storeFrame(plainOf(100))]) {
      for (let length = 0; length < frame.length; length += 1) {
        expect([length, isDamaged(() => decodeFrame(frame.subarray(0, length), MiB))]).toEqual([
          length,
          true,
        ])
      }
    }
  })

  test('with a checksum by another program is read as well', () => {
    const frame = zstdCompressSync(textOf(1000), { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
    expect(frameLength(frame)).toBe(frame.length)
    expect(equalBytes(decodeFrame(frame, 1000), textOf(1000))).toBe(true)
  })

  test('read from any bytes is content of the declared size, or refused', () => {
    const header = fc.constantFrom('28b52ffd20', '28b52ffd60', '28b52ffda0', '')
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 200 }), (start, rest) => {
        const bytes = concat([Buffer.from(start, 'hex'), rest])
        let content: Uint8Array = new Uint8Array()
        const refused = isDamaged(() => {
          content = decodeFrame(bytes, 64 * KiB)
        })
        return refused || content.length === frameContentSize(bytes)
      }),
      { numRuns: 300 },
    )
  })
})

test('a skippable frame is read only by its own kind and length', () => {
  const frame = skippableFrame(plainOf(20), 5)
  expect(equalBytes(skippablePayload(frame, 5), plainOf(20))).toBe(true)
  expect(isDamaged(() => skippablePayload(frame, 4))).toBe(true)
  expect(isDamaged(() => skippablePayload(frame.subarray(0, 27), 5))).toBe(true)
  expect(isDamaged(() => skippablePayload(frame.subarray(0, 7), 5))).toBe(true)
})

describe('padding', () => {
  test('gives multiples of 64 KiB that never shrink and cost at most 64 KiB or 12 %', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 80 * MiB }), (size) => {
        const padded = paddedLength(size)
        const needed = size + 24
        return (
          padded % (64 * KiB) === 0 &&
          padded >= needed &&
          padded < Math.max(needed + 64 * KiB, needed * 1.12 + 64 * KiB) &&
          paddedLength(size + 1) >= padded
        )
      }),
    )
    expect(padme(padme(1_234_567))).toBe(padme(1_234_567))
  })

  test('says where the index lies, to who has only the last 16 bytes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 300_000 }),
        fc.integer({ min: 8, max: 5000 }),
        (offset, length) => {
          const end = offset + length
          const frame = paddingFrame(end, { offset, length })
          const place = readTrailer(frame.subarray(-16), end + frame.length)
          return place.offset === offset && place.length === length
        },
      ),
    )
  })

  test('that is not exactly the one of its object is refused', () => {
    const content = plainOf(1000)
    const index = { offset: 900, length: 100 }
    const plaintext = concat([content, paddingFrame(1000, index)])
    checkPadding(plaintext, 1000, index)
    for (const at of [1000, 1004, 1008, 40_000, 65_519, 65_520, 65_524, 65_528, 65_535]) {
      const bad = Uint8Array.from(plaintext)
      bad[at] = (bad[at] ?? 0) ^ 1
      expect([at, isDamaged(() => checkPadding(bad, 1000, index))]).toEqual([at, true])
    }
    expect(isDamaged(() => checkPadding(plaintext, 999, index))).toBe(true)
    expect(isDamaged(() => checkPadding(plaintext, 1000, NO_INDEX))).toBe(true)
    expect(isDamaged(() => checkPadding(plaintext.subarray(1), 1000, index))).toBe(true)
    const longer = concat([plaintext, new Uint8Array(64 * KiB)])
    expect(isDamaged(() => checkPadding(longer, 1000, index))).toBe(true)
  })

  test('with an impossible trailer is refused', () => {
    const tail = Buffer.from(paddingFrame(1000, { offset: 900, length: 100 }).subarray(-16))
    expect(readTrailer(tail, 65_536)).toEqual({ offset: 900, length: 100 })
    expect(isDamaged(() => readTrailer(tail, 131_072))).toBe(true)
    expect(isDamaged(() => readTrailer(tail.subarray(1), 65_536))).toBe(true)
    const changed = (at: number, value: number): Buffer => {
      const bad = Buffer.from(tail)
      bad.writeUInt32LE(value, at)
      return bad
    }
    expect(isDamaged(() => readTrailer(changed(0, 0xffff_ffff), 65_536))).toBe(true)
    expect(isDamaged(() => readTrailer(changed(0, 65_500), 65_536))).toBe(true)
    expect(isDamaged(() => readTrailer(changed(4, 7), 65_536))).toBe(true)
    expect(isDamaged(() => readTrailer(changed(8, 0), 65_536))).toBe(true)
    expect(isDamaged(() => readTrailer(changed(12, 0), 65_536))).toBe(true)
  })
})
