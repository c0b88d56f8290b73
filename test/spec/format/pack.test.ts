import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hasCode } from '#shared/errors.ts'
import { blobId } from '#shared/format/blob-id.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { decodeFrame, encodeFrame, frameOf, MAX_PIECES } from '#shared/format/frame.ts'
import { packIndexOf, type Piece, readPackIndex } from '#shared/format/pack.ts'
import { paddedLength, paddingFrame, readTrailer, TRAILER } from '#shared/format/padding.ts'
import { skippableFrame } from '#shared/format/zstd.ts'
import { KiB, MiB } from '#shared/units.ts'
import { bytesOf, isDamaged, keyOf } from '../../support/format-material.ts'
import { createMemoryPack } from '../../support/memory-pack.ts'

const key = keyOf('id')

type Made = { readonly content: Buffer; readonly pieces: readonly Piece[] }
const frameFrom = (sizes: readonly number[], seed: string): Made => {
  const content = bytesOf(
    sizes.reduce((sum, size) => sum + size, 0),
    seed,
  )
  let offset = 0
  const pieces = sizes.map((length) => {
    const piece = { id: blobId(key, content.subarray(offset, offset + length)), offset, length }
    offset += length
    return piece
  })
  return { content, pieces }
}

/** A plaintext whose index is this JSON text. */
const packWith = (frames: Uint8Array, index: string): Uint8Array => {
  const frame = skippableFrame(encodeFrame(Buffer.from(index)))
  const place = { offset: frames.length, length: frame.length }
  return Buffer.concat([frames, frame, paddingFrame(frames.length + frame.length, place)])
}

describe('a pack', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 5 })

  test('alone rebuilds the index of its blobs, and every blob has its id', () => {
    fc.assert(
      fc.property(fc.array(sizes, { minLength: 1, maxLength: 5 }), (shapes) => {
        const writer = createMemoryPack(MiB)
        const made = shapes.map((shape, i) => frameFrom(shape, String(i)))
        const offsets = made.map(({ content, pieces }) => writer.add(frameOf(content), pieces))
        const plaintext = writer.finish()
        expect(plaintext.length % (64 * KiB)).toBe(0)
        const index = packIndexOf(plaintext)
        expect(index.map((frame) => frame.offset)).toEqual(offsets)
        for (const [i, frame] of index.entries()) {
          const bytes = plaintext.subarray(frame.offset, frame.offset + frame.length)
          const content = decodeFrame(bytes)
          expect(Buffer.from(content).equals(made[i]!.content)).toBe(true)
          for (const piece of frame.pieces) {
            const blob = content.subarray(piece.offset, piece.offset + piece.length)
            expect(toBase64url(blobId(key, blob))).toBe(piece.id)
          }
        }
      }),
      { numRuns: 20 },
    )
  })

  test('is indexed from two ranges: the last 16 bytes, then the index', () => {
    const writer = createMemoryPack()
    const { content, pieces } = frameFrom([1000, 2000], 'a')
    writer.add(frameOf(content), pieces)
    const plaintext = writer.finish()
    const steps = readPackIndex(plaintext.length)
    const tail = steps.next()
    expect(tail.value).toEqual({ start: plaintext.length - TRAILER, end: plaintext.length })
    const place = readTrailer(plaintext.subarray(-TRAILER), plaintext.length)
    expect(steps.next(plaintext.subarray(-TRAILER)).value).toEqual({
      start: place.offset,
      end: place.offset + place.length,
    })
  })

  test('goes beyond its target, says when it is full, and takes nothing when it is finished', () => {
    const writer = createMemoryPack(100 * KiB)
    const { content, pieces } = frameFrom([MiB], 'big')
    const before = writer.full
    for (let i = 0; i < 7; i += 1) writer.add(frameOf(content), pieces)
    expect([before, writer.full]).toEqual([false, true])
    const plaintext = writer.finish()
    expect([packIndexOf(plaintext).length, plaintext.length]).toEqual([7, writer.size])
    expect(() => writer.add(frameOf(content), pieces)).toThrow(RangeError)
    expect(() => writer.finish()).toThrow(RangeError)
  })

  test('of the smallest blobs is full while its index still fits a frame', () => {
    const writer = createMemoryPack()
    const { content, pieces } = frameFrom(
      Array.from({ length: MAX_PIECES }, () => 1),
      'tiny',
    )
    expect(() => writer.add(content, [...pieces, pieces[0]!])).toThrow(RangeError)
    while (!writer.full) writer.add(frameOf(content), pieces)
    const plaintext = writer.finish()
    expect(packIndexOf(plaintext).length).toBe(8)
  })

  test('is refused at every truncation, and where its trailer or index is not the one that belongs there', () => {
    const writer = createMemoryPack()
    const { content, pieces } = frameFrom([500], 'x')
    writer.add(frameOf(content), pieces)
    const plaintext = Buffer.from(writer.finish())
    for (let length = 0; length < plaintext.length; length += 997) {
      expect(isDamaged(() => packIndexOf(plaintext.subarray(0, length)))).toBe(true)
    }
    for (let at = plaintext.length - TRAILER; at < plaintext.length; at += 1) {
      const flipped = Buffer.from(plaintext)
      flipped[at] = flipped[at]! ^ 1
      expect(isDamaged(() => packIndexOf(flipped))).toBe(true)
    }
    expect(paddedLength(1)).toBe(64 * KiB)
  })

  const id = toBase64url(keyOf('some blob'))
  const frame = frameOf(bytesOf(100))
  const length = String(frame.length)
  test.each([
    ['no frames', `{"format":"holdfast/pack/v1"}`],
    ['another format', `{"format":"holdfast/tree/v1","frames":[]}`],
    ['a gap', `{"format":"holdfast/pack/v1","frames":[[1,${length},[]]]}`],
    ['less than there is', `{"format":"holdfast/pack/v1","frames":[]}`],
    ['a frame without length', `{"format":"holdfast/pack/v1","frames":[[0,0,[]]]}`],
    ['half a frame', `{"format":"holdfast/pack/v1","frames":[[0,${length}]]}`],
    [
      'a blob beyond 4 MiB',
      `{"format":"holdfast/pack/v1","frames":[[0,${length},[[4194304,1,"${id}"]]]]}`,
    ],
    ['an empty blob', `{"format":"holdfast/pack/v1","frames":[[0,${length},[[0,0,"${id}"]]]]}`],
    [
      'an id that is none',
      `{"format":"holdfast/pack/v1","frames":[[0,${length},[[0,1,"${id}="]]]]}`,
    ],
    ['a list', '[]'],
    ['no JSON', '{'],
  ])('is refused when its index has %s', (_, index) => {
    expect(isDamaged(() => packIndexOf(packWith(frame, index)))).toBe(true)
  })

  test('that needs a later version or an unknown feature says so; one with more fields is read', () => {
    const index = (head: string): Uint8Array =>
      packWith(frame, `{${head},"frames":[[0,${length},[]]]}`)
    const refused = (head: string): boolean => {
      try {
        packIndexOf(index(head))
        return false
      } catch (error) {
        return hasCode(error, 'UNSUPPORTED')
      }
    }
    expect(refused('"format":"holdfast/pack/v2"')).toBe(true)
    expect(refused('"format":"holdfast/pack/v1","requires":["x"]')).toBe(true)
    expect(packIndexOf(index('"format":"holdfast/pack/v1","requires":[],"new":1')).length).toBe(1)
  })
})
