/** The keyed hash of (directory, name) that decides where trees are cut. FORMAT.md, "Keyed hash of a place". */
import { view } from './bytes.ts'
import { createSmallHmac } from './hmac.ts'
import { type Bytes, MAX_DIR } from './tree-order.ts'

/**
 * HalfSipHash-2-4 (32-bit output) of the name, keyed per directory with the first 8 bytes of HMAC-SHA-256(segment key,
 * directory): 0.1 us an entry, where an HMAC of each place would cost 1.5.
 */
export const createNameHash = (segmentKey: Uint8Array): ((dir: Bytes, name: Bytes) => number) => {
  const hmac = createSmallHmac(segmentKey, MAX_DIR)
  let last: Bytes | null = null
  let k0 = 0
  let k1 = 0
  return (dir, name) => {
    if (dir !== last) {
      const key = view(hmac(Buffer.from(dir, 'latin1')))
      k0 = key.readInt32LE(0)
      k1 = key.readInt32LE(4)
      last = dir
    }
    return halfSipHash(k0, k1, name)
  }
}

/** HalfSipHash-2-4 of a byte string under a key of two little-endian 32-bit words; 32 bits, unsigned. */
export const halfSipHash = (k0: number, k1: number, bytes: Bytes): number => {
  let v0 = k0
  let v1 = k1
  let v2 = 0x6c796765 ^ k0
  let v3 = 0x74656462 ^ k1
  const words = bytes.length >> 2
  for (let i = 0; i <= words + 2; i += 1) {
    // Word by word, then the rest with the length on top, then four rounds that finish.
    const word = i <= words ? wordAt(bytes, i, words) : 0
    if (i === words + 1) v2 ^= 0xff
    v3 ^= word
    for (let round = 0; round < 2; round += 1) {
      v0 = (v0 + v1) | 0
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
      v0 = (v0 << 16) | (v0 >>> 16)
      v2 = (v2 + v3) | 0
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
      v0 = (v0 + v3) | 0
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
      v2 = (v2 + v1) | 0
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
      v2 = (v2 << 16) | (v2 >>> 16)
    }
    v0 ^= word
  }
  return (v1 ^ v3) >>> 0
}

const wordAt = (bytes: Bytes, index: number, words: number): number => {
  const at = 4 * index
  if (index < words) {
    return (
      bytes.charCodeAt(at) |
      (bytes.charCodeAt(at + 1) << 8) |
      (bytes.charCodeAt(at + 2) << 16) |
      (bytes.charCodeAt(at + 3) << 24)
    )
  }
  let word = bytes.length << 24
  for (let i = at; i < bytes.length; i += 1) word |= bytes.charCodeAt(i) << (8 * (i - at))
  return word
}
