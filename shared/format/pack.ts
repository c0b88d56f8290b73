/** Frames ⇄ the plaintext of one pack: frames, index, padding. FORMAT.md, "Packs". */
import { fail, problemOf } from '../errors.ts'
import { MiB } from '../units.ts'
import { parseUtf8, toBase64url } from './bytes.ts'
import { decodeFrame, encodeFrame, MAX_PIECES } from './frame.ts'
import { checkHeader } from './lines.ts'
import { isHash, isSize, MAX_CONTENT, MAX_FRAME } from './locator.ts'
import { paddingFrame, readTrailer, TRAILER } from './padding.ts'
import { skippableFrame, skippablePayload } from './zstd.ts'

export type { FullLocator, Locator, PackNo } from './locator.ts'

export const PACK_TARGET = 16 * MiB
const FORMAT = 'holdfast/pack/v1'
/** With this many the pack is full, so that its index stays below 4 MiB however small the blobs are. */
const PIECES_FULL = 32768

export type Piece = { readonly id: Uint8Array; readonly offset: number; readonly length: number }

export type PackWriter = {
  /** Appends a frame and says at which offset of the plaintext it lies. At most 4,096 pieces. */
  add(frame: Uint8Array, pieces: readonly Piece[]): number
  /** Bytes of frames so far; after `finish`, of the whole plaintext. */
  readonly size: number
  /** Whether the target is reached; a full writer still takes frames. */
  readonly full: boolean
  /** Writes index and padding; nothing may be added after it. */
  finish(): void
}

/**
 * One pack, written front to back to `write`, which must be done with the bytes when it returns. `target`: bytes of frames
 * after which the pack counts as full, 4 to 64 MiB.
 */
export const createPackWriter = (
  write: (plain: Uint8Array) => void,
  target = PACK_TARGET,
): PackWriter => {
  const frames: string[] = []
  let size = 0
  let pieceCount = 0
  let finished = false
  const append = (bytes: Uint8Array): void => {
    write(bytes)
    size += bytes.length
  }
  return {
    add: (frame, pieces) => {
      if (pieces.length > MAX_PIECES) throw new RangeError('a frame holds at most 4,096 blobs')
      if (finished) throw new RangeError('the pack is finished')
      const offset = size
      append(frame)
      frames.push(`[${offset},${frame.length},[${pieces.map(pieceText).join(',')}]]`)
      pieceCount += pieces.length
      return offset
    },
    get size() {
      return size
    },
    get full() {
      return size >= target || pieceCount >= PIECES_FULL
    },
    finish: () => {
      if (finished) throw new RangeError('the pack is finished')
      finished = true
      const offset = size
      const index = skippableFrame(encodeFrame(Buffer.from(indexText(frames))))
      append(index)
      append(paddingFrame(size, { offset, length: index.length }))
    },
  }
}

const indexText = (frames: readonly string[]): string =>
  `{"format":"${FORMAT}","frames":[${frames.join(',\n')}]}\n`

const pieceText = (piece: Piece): string =>
  `[${piece.offset},${piece.length},"${toBase64url(piece.id)}"]`

export type IndexedPiece = {
  readonly id: string
  readonly offset: number
  readonly length: number
}
export type IndexedFrame = {
  readonly offset: number
  readonly length: number
  readonly pieces: readonly IndexedPiece[]
}

/**
 * The index of a pack as a step machine: yields the ranges of the plaintext that it wants (first the last 16 bytes,
 * then the index), receives their bytes, returns the frames in order. `DAMAGED` where they are not what they should be.
 */
export function* readPackIndex(
  plaintextLength: number,
): Generator<
  { readonly start: number; readonly end: number },
  readonly IndexedFrame[],
  Uint8Array
> {
  const tail = yield { start: Math.max(0, plaintextLength - TRAILER), end: plaintextLength }
  const { offset, length } = readTrailer(tail, plaintextLength)
  if (length === 0) throw damaged('it has none')
  const bytes = yield { start: offset, end: offset + length }
  return parseIndex(decodeFrame(skippablePayload(bytes)), offset)
}

/** The same from a whole plaintext. */
export const packIndexOf = (plaintext: Uint8Array): readonly IndexedFrame[] => {
  const steps = readPackIndex(plaintext.length)
  let step = steps.next()
  while (step.done !== true) {
    step = steps.next(plaintext.subarray(step.value.start, step.value.end))
  }
  return step.value
}

const parseIndex = (bytes: Uint8Array, end: number): readonly IndexedFrame[] => {
  const index = parseJson(bytes)
  checkHeader('The index of a pack', index, FORMAT)
  if (!Array.isArray(index.frames)) throw damaged('it lists no frames')
  const list: readonly unknown[] = index.frames
  let next = 0
  const frames = list.map((value) => {
    const frame = parseFrame(value, next)
    next = frame.offset + frame.length
    return frame
  })
  if (next !== end) throw damaged('its frames do not fill the pack')
  return frames
}

type RawIndex = { format?: unknown; requires?: unknown; frames?: unknown }
const isRaw = (value: unknown): value is RawIndex => typeof value === 'object' && value !== null

const parseJson = (bytes: Uint8Array): RawIndex => {
  try {
    const value: unknown = JSON.parse(parseUtf8(bytes) ?? '')
    if (isRaw(value)) return value
  } catch (error) {
    throw fail(
      'DAMAGED',
      { what: 'The index of a pack', problem: problemOf(error) },
      { cause: error },
    )
  }
  throw damaged('it is not an object')
}

const parseFrame = (value: unknown, expected: number): IndexedFrame => {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  const [offset, length, pieces] = list
  if (list.length !== 3 || offset !== expected || !isSize(length) || !Array.isArray(pieces)) {
    throw damaged('its frames are not end to end')
  }
  if (length === 0 || length > MAX_FRAME || pieces.length > MAX_PIECES) {
    throw damaged('a frame is too large')
  }
  return { offset: expected, length, pieces: pieces.map(parsePiece) }
}

const parsePiece = (value: unknown): IndexedPiece => {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  const [offset, length, id] = list
  if (list.length !== 3 || !isSize(offset) || !isSize(length) || !isHash(id)) {
    throw damaged('it has an entry that is none')
  }
  if (length === 0 || offset + length > MAX_CONTENT) throw damaged('an entry leaves its frame')
  return { offset, length, id }
}

const damaged = (problem: string): Error =>
  fail('DAMAGED', { what: 'The index of a pack', problem })
