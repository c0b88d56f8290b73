/** Zstandard frames (RFC 8878), one at a time and never larger than declared. FORMAT.md, "Zstandard frames". */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { fail, problemOf } from '../errors.ts'
import { KiB } from '../units.ts'
import { view } from './bytes.ts'

const MAGIC = 0xfd2fb528
/** Sixteen magics are reserved for skippable frames; the low four bits are free to tell them apart. */
const SKIPPABLE = 0x184d2a50
const BLOCK = 128 * KiB

export const SKIPPABLE_HEADER = 8

type Header = { readonly contentSize: number; readonly length: number; readonly checksum: boolean }

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'A zstd frame', problem })

const need = (bytes: Buffer, length: number): void => {
  if (bytes.length < length) throw damaged('it ends too early')
}

const parseHeader = (frame: Uint8Array): Header => {
  const bytes = view(frame)
  need(bytes, 5)
  if (bytes.readUInt32LE(0) !== MAGIC) throw damaged('it does not begin like one')
  const descriptor = bytes.readUInt8(4)
  const single = (descriptor & 0x20) !== 0
  if ((descriptor & 0x08) !== 0) throw damaged('a reserved bit is set')
  if ((descriptor & 0x03) !== 0) throw damaged('it wants a dictionary')
  const at = single ? 5 : 6
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  if (sizeBytes === 0) throw damaged('it does not declare its size')
  need(bytes, at + sizeBytes)
  const contentSize = readSize(bytes, at, sizeBytes)
  return { contentSize, length: at + sizeBytes, checksum: (descriptor & 0x04) !== 0 }
}

const readSize = (bytes: Buffer, at: number, width: number): number => {
  if (width === 1) return bytes.readUInt8(at)
  if (width === 2) return bytes.readUInt16LE(at) + 256
  if (width === 4) return bytes.readUInt32LE(at)
  const size = bytes.readBigUInt64LE(at)
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw damaged('its declared size is beyond 2^53')
  return Number(size)
}

/** The size in bytes that the frame declares in its first (at most 14) bytes. Refuses a frame that declares none. */
export const frameContentSize = (frame: Uint8Array): number => parseHeader(frame).contentSize

/**
 * Length in bytes of the frame that `bytes` begins with, found by walking its block headers (nothing is decoded).
 * `DAMAGED` when it does not begin with one, or ends within it.
 */
export const frameLength = (frame: Uint8Array): number => {
  const bytes = view(frame)
  const header = parseHeader(bytes)
  let at = header.length
  for (let last = false; !last;) {
    need(bytes, at + 3)
    const block = bytes.readUIntLE(at, 3)
    const type = (block >> 1) & 3
    if (type === 3) throw damaged('a block has a reserved type')
    last = (block & 1) === 1
    at += 3 + (type === 1 ? 1 : block >> 3)
  }
  const length = at + (header.checksum ? 4 : 0)
  need(bytes, length)
  return length
}

/**
 * Decodes exactly one frame that fills `bytes`. Its declared size is compared with `maxSize` before anything is
 * allocated, and with what came out. Node's zstd would stop silently after the first of several frames.
 */
export const decodeFrame = (bytes: Uint8Array, maxSize: number): Uint8Array => {
  const size = frameContentSize(bytes)
  if (size > maxSize) throw damaged(`it declares ${String(size)} bytes, over ${String(maxSize)}`)
  if (frameLength(bytes) !== bytes.length) throw damaged('something follows it')
  const content = decompress(bytes, size)
  // zstd compares as well; this keeps the promise whatever library Node is built with.
  if (content.length !== size) throw damaged('it holds less than it declares')
  return content
}

const decompress = (bytes: Uint8Array, size: number): Uint8Array => {
  try {
    // One byte more than declared: the content then comes in one buffer, without a copy at the end.
    return zstdDecompressSync(bytes, {
      chunkSize: Math.max(64, size + 1),
      maxOutputLength: Math.max(1, size),
    })
  } catch (error) {
    throw fail('DAMAGED', { what: 'A zstd frame', problem: problemOf(error) }, { cause: error })
  }
}

/** How hard to try; what is left out is what the level says. */
export type Effort = {
  /** 1 to 19. */
  readonly level: number
  /** Shortest match that is looked for, 3 to 7 bytes, and the logarithm of the table of places that it is looked up in. */
  readonly minMatch?: number
  readonly hashLog?: number
}

/** One frame over `content` that declares its size. No checksum: age authenticates every byte. */
export const encodeFrame = (
  content: Uint8Array,
  { level, minMatch = 0, hashLog = 0 }: Effort,
): Uint8Array =>
  zstdCompressSync(content, {
    // ZSTD_COMPRESSBOUND: the whole frame comes in one buffer.
    chunkSize: content.length + (content.length >> 8) + 1024,
    pledgedSrcSize: content.length,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_minMatch]: minMatch,
      [constants.ZSTD_c_hashLog]: hashLog,
    },
  })

/** One frame over `content` in raw blocks, for what does not shrink: content plus 3 bytes per 128 KiB and 9 at most. */
export const storeFrame = (content: Uint8Array): Uint8Array => {
  const header = storedHeader(content.length)
  const blocks = Math.max(1, Math.ceil(content.length / BLOCK))
  const out = Buffer.allocUnsafe(header.length + 3 * blocks + content.length)
  let at = header.copy(out)
  for (let block = 0; block < blocks; block += 1) {
    const part = content.subarray(block * BLOCK, (block + 1) * BLOCK)
    at = out.writeUIntLE((part.length << 3) | (block === blocks - 1 ? 1 : 0), at, 3)
    out.set(part, at)
    at += part.length
  }
  return out
}

const storedHeader = (size: number): Buffer => {
  const header = Buffer.alloc(9)
  header.writeUInt32LE(MAGIC, 0)
  if (size < 256) {
    header.writeUInt8(0x20, 4)
    header.writeUInt8(size, 5)
    return header.subarray(0, 6)
  }
  if (size < 65_792) {
    header.writeUInt8(0x60, 4)
    header.writeUInt16LE(size - 256, 5)
    return header.subarray(0, 7)
  }
  header.writeUInt8(0xa0, 4)
  header.writeUInt32LE(size, 5)
  return header
}

/** The 8 bytes before the payload of a skippable frame; `kind` (0 to 15) is the low nibble of its magic. */
export const skippableHeader = (payloadLength: number, kind = 0): Uint8Array => {
  const header = Buffer.alloc(SKIPPABLE_HEADER)
  header.writeUInt32LE(SKIPPABLE + kind, 0)
  header.writeUInt32LE(payloadLength, 4)
  return header
}

/** A frame that every zstd decoder passes over. */
export const skippableFrame = (payload: Uint8Array, kind = 0): Uint8Array =>
  Buffer.concat([skippableHeader(payload.length, kind), payload])

/** The payload (no copy) of the one skippable frame of this `kind` that fills `bytes`; `DAMAGED` otherwise. */
export const skippablePayload = (bytes: Uint8Array, kind = 0): Uint8Array => {
  const payload = bytes.subarray(SKIPPABLE_HEADER)
  const header = skippableHeader(payload.length, kind)
  if (!view(header).equals(bytes.subarray(0, SKIPPABLE_HEADER))) {
    throw fail('DAMAGED', {
      what: 'A skippable frame',
      problem: 'its header is not the expected one',
    })
  }
  return payload
}
