/**
 * The agent's own copy of a backup's tree: each entry's finished line with the signature by which an unchanged entry is
 * recognised. A stream of blocks, each of which stands alone: it begins with its directory.
 *
 * Record: uint32 length of the whole record, uint8 flags, uint8 0, uint16 length of the name, then
 *   a directory marker (flag 1): its path;
 *   an entry: uint32 length of the line, uint32 0, five float64 (size, mtime ms, ctime ms, device, inode), the name,
 *   the line in UTF-8, then pairs of float64 (pack, bytes): what a file with content lists uses.
 */
import type { StoredLine } from '#shared/format/lines.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { KiB } from '#shared/units.ts'
import type { Uses } from './live.ts'
import type { Signature } from './stat.ts'

const DIRECTORY = 1
/** The signature may be trusted. */
const SETTLED = 2
const ASCII = 4
const HAS_CONTENT = 8
const IS_FILE = 16
const IS_DIRECTORY = 32

const KIND_FLAGS = { file: IS_FILE, directory: IS_DIRECTORY, other: 0 } as const

const MARKER_HEAD = 8
const ENTRY_HEAD = 56
/** A block is closed at this size. */
export const BLOCK = 256 * KiB

export type LocalEntry = {
  readonly dir: Bytes
  readonly name: Bytes
  readonly line: string
  /** null: look at it again next time, whatever its times say. */
  readonly signature: Signature | null
  readonly kind: 'file' | 'directory' | 'other'
  readonly hasContent: boolean
  /** Only for files with content lists. */
  readonly uses: Uses
  /** Of a file that this run has read, everything that it uses; not written. */
  readonly needs?: Uses
}

export type BlockWriter = {
  append(entry: LocalEntry): void
  /** Records `[from, to)` of a raw block, which begin in `dir` and end in `endDir`. */
  copy(run: Run): void
  readonly size: number
  /** What was written since, as one raw block; a view that stays valid until the next call. */
  take(): Uint8Array
}

/** A block as it lies in the file, and unpacked. */
export type LocalBlock = { readonly raw: Buffer; readonly packed: Uint8Array }

/** A run of unchanged records of one block. */
export type Run = {
  readonly block: LocalBlock
  readonly from: number
  readonly to: number
  readonly dir: Bytes
  readonly endDir: Bytes
}

export const isWholeBlock = (run: Run): boolean => run.from === 0 && run.to === run.block.raw.length

const PLAIN = /^[\x20-\x7e]*$/

export const createBlockWriter = (): BlockWriter => {
  let buffer = Buffer.allocUnsafeSlow(2 * BLOCK)
  let size = 0
  let current: Bytes | null = null
  const reserve = (bytes: number): void => {
    if (size + bytes <= buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(size + bytes, 2 * buffer.length))
    buffer.copy(larger, 0, 0, size)
    buffer = larger
  }
  const enter = (dir: Bytes): void => {
    if (dir === current) return
    const length = MARKER_HEAD + dir.length
    reserve(length)
    buffer.writeUInt32LE(length, size)
    buffer.writeUInt32LE(DIRECTORY | (dir.length << 16), size + 4)
    buffer.write(dir, size + MARKER_HEAD, 'latin1')
    size += length
    current = dir
  }
  return {
    get size() {
      return size
    },
    append: (entry) => {
      enter(entry.dir)
      const plain = PLAIN.test(entry.line)
      const lineLength = plain ? entry.line.length : Buffer.byteLength(entry.line)
      const length = ENTRY_HEAD + entry.name.length + lineLength + 16 * entry.uses.length
      reserve(length)
      writeHead(buffer, size, { entry, length, lineLength, plain })
      const nameAt = size + ENTRY_HEAD
      buffer.write(entry.name, nameAt, 'latin1')
      const lineAt = nameAt + entry.name.length
      if (plain) buffer.write(entry.line, lineAt, 'latin1')
      else buffer.write(entry.line, lineAt, 'utf8')
      let at = lineAt + lineLength
      for (const [pack, bytes] of entry.uses) {
        buffer.writeDoubleLE(pack, at)
        buffer.writeDoubleLE(bytes, at + 8)
        at += 16
      }
      size += length
    },
    copy: ({ block, from, to, dir, endDir }) => {
      enter(dir)
      reserve(to - from)
      block.raw.copy(buffer, size, from, to)
      size += to - from
      current = endDir
    },
    take: () => {
      const taken = buffer.subarray(0, size)
      size = 0
      current = null
      return taken
    },
  }
}

type Head = {
  readonly entry: LocalEntry
  readonly length: number
  readonly lineLength: number
  readonly plain: boolean
}

const writeHead = (
  buffer: Buffer,
  at: number,
  { entry, length, lineLength, plain }: Head,
): void => {
  const { signature } = entry
  const flags =
    (signature === null ? 0 : SETTLED) |
    (plain ? ASCII : 0) |
    (entry.hasContent ? HAS_CONTENT : 0) |
    KIND_FLAGS[entry.kind]
  buffer.writeUInt32LE(length, at)
  buffer.writeUInt32LE((flags | (entry.name.length << 16)) >>> 0, at + 4)
  buffer.writeUInt32LE(lineLength, at + 8)
  buffer.writeUInt32LE(0, at + 12)
  buffer.writeDoubleLE(signature?.size ?? 0, at + 16)
  buffer.writeDoubleLE(signature?.mtimeMs ?? 0, at + 24)
  buffer.writeDoubleLE(signature?.ctimeMs ?? 0, at + 32)
  buffer.writeDoubleLE(signature?.dev ?? 0, at + 40)
  buffer.writeDoubleLE(signature?.ino ?? 0, at + 48)
}

/** Walks the records of one local tree; at each stop it stands on one entry. Changed by `advance` alone. */
export type Cursor = {
  /** Whether it stands on an entry; false before the first `advance` and after the last. */
  valid: boolean
  dir: Bytes
  name: Bytes
  block: LocalBlock
  /** The bytes of `block`: reading numbers by it takes a tenth of what a Buffer takes. */
  view: DataView
  /** Bytes of the record in the block. */
  from: number
  to: number
  flags: number
  /** Where the entry before this one ended. */
  before: number
  beforeBlock: LocalBlock
  readonly nextBlock: () => LocalBlock | null
}

const NO_BLOCK: LocalBlock = { raw: Buffer.alloc(0), packed: new Uint8Array() }

const viewOf = ({ raw }: LocalBlock): DataView =>
  new DataView(raw.buffer, raw.byteOffset, raw.byteLength)

/** `nextBlock` gives the blocks in order, null at the end. */
export const createCursor = (nextBlock: () => LocalBlock | null): Cursor => ({
  valid: false,
  dir: '',
  name: '',
  block: NO_BLOCK,
  view: viewOf(NO_BLOCK),
  from: 0,
  to: 0,
  flags: 0,
  before: 0,
  beforeBlock: NO_BLOCK,
  nextBlock,
})

/** Moves to the next record; false at the end of the last block. */
const step = (at: Cursor): boolean => {
  at.from = at.to
  while (at.from >= at.block.raw.length) {
    const following = at.nextBlock()
    if (following === null) return false
    at.block = following
    at.view = viewOf(following)
    at.from = 0
  }
  const { raw } = at.block
  const { from, view } = at
  at.to = from + view.getUint32(from, true)
  const word = view.getUint32(from + 4, true)
  at.flags = word & 0xff
  const nameLength = word >>> 16
  if ((at.flags & DIRECTORY) !== 0)
    at.dir = raw.toString('latin1', from + MARKER_HEAD, from + MARKER_HEAD + nameLength)
  else at.name = raw.toString('latin1', from + ENTRY_HEAD, from + ENTRY_HEAD + nameLength)
  return true
}

export const advance = (at: Cursor): void => {
  at.before = at.to
  at.beforeBlock = at.block
  do at.valid = step(at)
  while (at.valid && (at.flags & DIRECTORY) !== 0)
}

/** Whether `run` ends with the entry before this one, in the same block. */
export const follows = (at: Cursor, run: Run): boolean =>
  run.block === at.block && at.beforeBlock === at.block && run.to === at.before

/** Whether this settled entry is the one that `now` describes, unchanged. */
export const isUnchanged = ({ flags, view, from }: Cursor, now: Signature): boolean =>
  (flags & SETTLED) !== 0 &&
  view.getFloat64(from + 16, true) === now.size &&
  view.getFloat64(from + 24, true) === now.mtimeMs &&
  view.getFloat64(from + 32, true) === now.ctimeMs &&
  view.getFloat64(from + 48, true) === now.ino &&
  view.getFloat64(from + 40, true) === now.dev

export const isFileAt = ({ flags }: Cursor): boolean => (flags & IS_FILE) !== 0
export const isDirectoryAt = ({ flags }: Cursor): boolean => (flags & IS_DIRECTORY) !== 0
export const hasContentAt = ({ flags }: Cursor): boolean => (flags & HAS_CONTENT) !== 0

const lineStart = ({ from, name }: Cursor): number => from + ENTRY_HEAD + name.length
const lineEnd = (at: Cursor): number => lineStart(at) + at.view.getUint32(at.from + 8, true)

export const lineAt = (at: Cursor): string =>
  at.block.raw.toString((at.flags & ASCII) !== 0 ? 'latin1' : 'utf8', lineStart(at), lineEnd(at))

/** The same as it lies in the block, which is never written to again. */
export const storedLineAt = (at: Cursor): StoredLine => ({
  raw: at.block.raw,
  from: lineStart(at),
  to: lineEnd(at),
})

/** What a file with content lists uses; empty for every other entry. */
export const listedUsesAt = (at: Cursor): Uses => {
  const { raw } = at.block
  const uses: [number, number][] = []
  for (let pair = lineEnd(at); pair < at.to; pair += 16)
    uses.push([raw.readDoubleLE(pair), raw.readDoubleLE(pair + 8)])
  return uses
}

/** A cursor over the entries of a run alone; its `dir` is right from the first on. */
export const cursorOf = (run: Run): Cursor => {
  const end = { raw: run.block.raw.subarray(0, run.to), packed: run.block.packed }
  const view = viewOf(end)
  return { ...createCursor(() => null), block: end, view, to: run.from, dir: run.dir }
}
