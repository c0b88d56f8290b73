/** Content ⇄ one zstd frame; keeps what does not shrink. FORMAT.md, "Frames". */
import { KiB, MiB } from '../units.ts'
import { MAX_CONTENT } from './locator.ts'
import { decodeFrame as decode, type Effort, encodeFrame as encode, storeFrame } from './zstd.ts'

export { MAX_CONTENT, storeFrame }

/** Neighbouring small blobs share a frame of up to this many bytes. */
export const FRAME_TARGET = MiB
/** Most blobs in one frame: bounds the index of a pack. */
export const MAX_PIECES = 4096

/** What is written once and read by people's tools: names, indexes, records. */
const CAREFUL: Effort = { level: 3 }
/**
 * Content: on a system's `/usr` two thirds of level 3's time for 6 % more bytes. A table of 64 KiB stays in the cache
 * of the processor; matches of 6 bytes are longer than those of 4 that level 1 finds there.
 */
const FAST: Effort = { level: 1, minMatch: 6, hashLog: 14 }
const SAMPLES = 8
const SAMPLE = 2 * KiB
/** Bits a byte above which a sample counts as random; 16 KiB of random bytes measure 7.985 to 7.992. */
const RANDOM_ENTROPY = 7.95

/** One frame over at most 4 MiB of content. */
export const encodeFrame = (content: Uint8Array, effort = CAREFUL): Uint8Array => {
  if (content.length > MAX_CONTENT) throw new RangeError('a frame holds at most 4 MiB')
  return encode(content, effort)
}

/** The frame a writer should make: raw blocks where a sample looks random. (zstd itself never adds more than those.) */
export const frameOf = (content: Uint8Array): Uint8Array =>
  shrinks(content) ? encodeFrame(content, FAST) : storeFrame(content)

/** Exactly one frame that fills `bytes`; `DAMAGED` where it declares over `maxSize` bytes, or is anything else. */
export const decodeFrame = (bytes: Uint8Array, maxSize = MAX_CONTENT): Uint8Array =>
  decode(bytes, maxSize)

/**
 * Whether compressing is worth its time, from the byte histogram of at most 16 KiB taken at eight places. Content
 * that repeats random bytes is misjudged and stored larger than need be; nothing else depends on the answer.
 */
export const shrinks = (content: Uint8Array): boolean => {
  // Below, chance alone keeps the measured entropy of random bytes under the threshold.
  if (content.length < SAMPLES * SAMPLE) return true
  const counts = new Uint32Array(256)
  const step = Math.floor(content.length / SAMPLES)
  for (let s = 0; s < SAMPLES; s += 1) {
    const part = content.subarray(s * step, s * step + SAMPLE)
    for (const byte of part) counts[byte] = (counts[byte] ?? 0) + 1
  }
  return entropy(counts, SAMPLES * SAMPLE) < RANDOM_ENTROPY
}

const entropy = (counts: Uint32Array, total: number): number => {
  let sum = 0
  for (const count of counts) if (count > 0) sum += count * Math.log2(count)
  return Math.log2(total) - sum / total
}
