import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  chunks,
  createChunker,
  gearTable,
  MAX_CHUNK,
  MIN_CHUNK,
  NORMAL_CHUNK,
} from '#shared/format/chunker.ts'
import { MiB } from '#shared/units.ts'
import { bytesOf, keyOf } from '../../support/format-material.ts'

const key = keyOf('chunker')
const chunker = createChunker(key)
const data = bytesOf(24 * MiB)

const cutsOf = (bytes: Uint8Array): number[] => {
  const cuts: number[] = []
  for (let at = 0; at < bytes.length; cuts.push(at)) at = chunker.cut(bytes, at, bytes.length)
  return cuts
}

/** The words of FORMAT.md, one position at a time. */
const plainCut = (bytes: Uint8Array, start: number): number => {
  const gear = gearTable(key)
  const end = Math.min(bytes.length, start + MAX_CHUNK)
  for (let p = start + MIN_CHUNK; p < end; p += 1) {
    let h = 0
    for (let i = 0; i < 32; i += 1) h = (h + (gear[bytes[p - 1 - i]!]! << i)) | 0
    const bits = p < start + NORMAL_CHUNK ? 22 : 18
    if (h >>> (32 - bits) === 0) return p
  }
  return end
}

describe('cutting a file', () => {
  test('gives chunks from 512 KiB to 4 MiB, about 1 MiB on average, and only the last one shorter', () => {
    const cuts = cutsOf(data)
    const sizes = cuts.map((cut, i) => cut - (cuts[i - 1] ?? 0))
    expect(cuts.at(-1)).toBe(data.length)
    for (const size of sizes.slice(0, -1)) {
      expect(size).toBeGreaterThanOrEqual(MIN_CHUNK)
      expect(size).toBeLessThanOrEqual(MAX_CHUNK)
    }
    expect(data.length / sizes.length).toBeGreaterThan(0.7 * MiB)
    expect(data.length / sizes.length).toBeLessThan(1.4 * MiB)
  })

  test('follows the definition position by position, at every alignment of the memory', () => {
    const short = data.subarray(0, 3 * MiB)
    const first = plainCut(short, 0)
    const second = plainCut(short, first)
    for (let shift = 0; shift < 4; shift += 1) {
      const moved = new Uint8Array(short.length + 8).subarray(shift, shift + short.length)
      moved.set(short)
      expect(chunker.cut(moved, 0, moved.length)).toBe(first)
      expect(chunker.cut(moved, first, moved.length)).toBe(second)
    }
  })

  test('does not depend on what lies before the chunk or after 4 MiB', () => {
    const start = 5 * MiB + 3
    const alone = Uint8Array.from(data.subarray(start, start + MAX_CHUNK))
    expect(chunker.cut(data, start, data.length) - start).toBe(chunker.cut(alone, 0, alone.length))
  })

  test('takes what is at most 512 KiB whole, and what never hashes to zero in steps of 4 MiB', () => {
    expect(cutsOf(data.subarray(0, MIN_CHUNK))).toEqual([MIN_CHUNK])
    expect(cutsOf(data.subarray(0, 1))).toEqual([1])
    const zeros = new Uint8Array(9 * MiB)
    expect(cutsOf(zeros)).toEqual([4 * MiB, 8 * MiB, 9 * MiB])
  })

  test('is the same however the file arrives, and its chunks are the file', () => {
    const file = data.subarray(0, 11 * MiB + 17)
    const expected = cutsOf(file)
    const size = fc.integer({ min: 1, max: 5 * MiB })
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 6 }), (sizes) => {
        const slices: Uint8Array[] = []
        for (let at = 0, i = 0; at < file.length; i += 1) {
          const length = sizes[i % sizes.length]!
          slices.push(file.subarray(at, at + length))
          at += length
        }
        const got = [...chunks(chunker, slices)]
        expect(Buffer.concat(got).equals(file)).toBe(true)
        let at = 0
        expect(got.map((chunk) => (at += chunk.length))).toEqual(expected)
      }),
      { numRuns: 4 },
    )
  })

  test('changes at most a few chunks when bytes are inserted, wherever that is', () => {
    const ids = (bytes: Uint8Array): Set<string> =>
      new Set([...chunks(chunker, [bytes])].map((chunk) => Buffer.from(chunk).toString('latin1')))
    const file = data.subarray(0, 16 * MiB)
    const before = ids(file)
    for (const at of [0, 1, 3 * MiB + 5, 9 * MiB, 16 * MiB]) {
      const after = ids(
        Buffer.concat([file.subarray(0, at), Buffer.from('new'), file.subarray(at)]),
      )
      expect([...after].filter((chunk) => !before.has(chunk)).length).toBeLessThanOrEqual(3)
    }
  })

  test('depends on the key', () => {
    const other = createChunker(keyOf('another'))
    expect(other.cut(data, 0, data.length)).not.toBe(chunker.cut(data, 0, data.length))
  })
})
