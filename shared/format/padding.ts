/**
 * Padding inside the plaintext, the same for packs, trees and records, so that an object's size tells the store
 * little: one skippable frame of zeros whose last 16 bytes are the trailer. FORMAT.md, "Padding and trailer".
 */
import { fail } from '../errors.ts'
import { KiB } from '../units.ts'
import { view } from './bytes.ts'
import { SKIPPABLE_HEADER, skippableHeader } from './zstd.ts'

/** Offset and length, in the plaintext, of the skippable frame (its header included) that holds the index. */
export type IndexPlace = { readonly offset: number; readonly length: number }

export const NO_INDEX: IndexPlace = { offset: 0, length: 0 }
export const TRAILER = 16
export const BUCKET = 64 * KiB
export const PADDING_KIND = 1

const MAGIC = Buffer.from('HOLDFST1', 'latin1')
/** Offsets in the trailer are 32 bits wide. */
const MAX_CONTENT = 2 ** 31

/** Padmé (PURBs, 2019): the next length with only its first log2(log2) bits free; costs 12 % at most. `size` >= 1. */
export const padme = (size: number): number => {
  const e = Math.floor(Math.log2(size))
  const s = e === 0 ? 1 : Math.floor(Math.log2(e)) + 1
  const step = 2 ** Math.max(0, e - s)
  return Math.ceil(size / step) * step
}

/** Plaintext length of an object whose frames (index included) take `contentLength` bytes. */
export const paddedLength = (contentLength: number): number => {
  if (contentLength > MAX_CONTENT) throw new RangeError('an object holds less than 2 GiB')
  return Math.ceil(padme(contentLength + SKIPPABLE_HEADER + TRAILER) / BUCKET) * BUCKET
}

/** The last bytes of an object whose frames take `contentLength` bytes: the skippable frame and its trailer. */
export const paddingFrame = (contentLength: number, index: IndexPlace): Uint8Array => {
  const out = Buffer.alloc(paddedLength(contentLength) - contentLength)
  out.set(skippableHeader(out.length - SKIPPABLE_HEADER, PADDING_KIND), 0)
  const trailer = out.length - TRAILER
  out.writeUInt32LE(index.offset, trailer)
  out.writeUInt32LE(index.length, trailer + 4)
  MAGIC.copy(out, trailer + 8)
  return out
}

/**
 * Where the index lies, from the last 16 bytes of a plaintext of `plaintextLength` bytes. `DAMAGED` when the magic is
 * missing, when the place does not lie before the padding, or when the length is not the one that belongs to it.
 */
export const readTrailer = (tail: Uint8Array, plaintextLength: number): IndexPlace => {
  const bytes = view(tail)
  if (!bytes.subarray(8).equals(MAGIC)) throw damaged('it has no trailer')
  const offset = bytes.readUInt32LE(0)
  const length = bytes.readUInt32LE(4)
  if (offset === 0 && length === 0) return NO_INDEX
  if (length < SKIPPABLE_HEADER || offset + length > MAX_CONTENT) {
    throw damaged('the place of its index is impossible')
  }
  if (paddedLength(offset + length) !== plaintextLength) {
    throw damaged('its length and the place of its index do not agree')
  }
  return { offset, length }
}

/** Refuses anything but the exact padding frame after the first `contentLength` bytes. */
export const checkPadding = (
  plaintext: Uint8Array,
  contentLength: number,
  index: IndexPlace,
): void => {
  if (plaintext.length !== paddedLength(contentLength))
    throw damaged('its length is not a padded one')
  if (!view(plaintext.subarray(contentLength)).equals(paddingFrame(contentLength, index))) {
    throw damaged('its padding is not zeros and a trailer')
  }
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'An object', problem })
