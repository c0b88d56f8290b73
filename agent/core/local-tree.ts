/**
 * The agent's own copy of a backup's tree: each entry's finished line with the signature by which an unchanged entry is
 * recognised. A stream of blocks, each of which stands alone: it begins with its directory.
 *
 * Record: uint32 length of the whole record, uint8 flags, uint8 0, uint16 length of the name, then
 *   a directory marker (flag 1): its path;
 *   an entry: uint32 length of the line, uint32 0, five float64 (size, mtime ms, ctime ms, device, inode), the name,
 *   the line in UTF-8, then pairs of float64 (pack, bytes): what a file with content lists uses.
 */
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
}

export type BlockWriter = {
  append(entry: LocalEntry): void
  /** Records `[from, to)` of a raw block, which begin in `dir` and end in `endDir`. */
  copy(run: Run): void
  readonly size: number
  /** What was written since, as one raw block; a view that stays valid until the next call. */
  take(): Uint8Array
}

/** A run of unchanged records of one block. */
export type Run = {
  readonly block: Buffer
  readonly from: number
  readonly to: number
  readonly dir: Bytes
  readonly endDir: Bytes
}

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
      block.copy(buffer, size, from, to)
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

/** Walks the records of one local tree; at each stop it stands on one entry. */
export type Cursor = {
  /** Whether it stands on an entry; false before the first `next` and after the last. */
  readonly valid: boolean
  readonly dir: Bytes
  readonly name: Bytes
  readonly isFile: boolean
  readonly isDirectory: boolean
  readonly hasContent: boolean
  readonly block: Buffer
  readonly from: number
  readonly to: number
  /** Whether `run` ends with the entry before this one, in the same block. */
  follows(run: Run): boolean
  next(): void
  /** Whether this settled entry is the one that `stat` describes, unchanged. */
  matches(signature: Signature): boolean
  line(): string
  uses(): Uses
}

const NO_BLOCK = Buffer.alloc(0)

/** `nextBlock` gives raw blocks in order, null at the end. */
export const createCursor = (nextBlock: () => Buffer | null): Cursor => {
  let block: Buffer = NO_BLOCK
  let from = 0
  let to = 0
  let flags = 0
  let dir: Bytes = ''
  let name: Bytes = ''
  let valid = false
  let before = 0
  let beforeBlock: Buffer = NO_BLOCK
  const lineAt = (): number => from + ENTRY_HEAD + name.length
  const lineEnd = (): number => lineAt() + block.readUInt32LE(from + 8)
  /** Moves to the next record; false at the end of the last block. */
  const step = (): boolean => {
    from = to
    while (from >= block.length) {
      const following = nextBlock()
      if (following === null) return false
      block = following
      from = 0
    }
    to = from + block.readUInt32LE(from)
    const word = block.readUInt32LE(from + 4)
    flags = word & 0xff
    const nameLength = word >>> 16
    if ((flags & DIRECTORY) !== 0) {
      dir = block.toString('latin1', from + MARKER_HEAD, from + MARKER_HEAD + nameLength)
    } else name = block.toString('latin1', from + ENTRY_HEAD, from + ENTRY_HEAD + nameLength)
    return true
  }
  return {
    get valid() {
      return valid
    },
    get dir() {
      return dir
    },
    get name() {
      return name
    },
    get isFile() {
      return (flags & IS_FILE) !== 0
    },
    get isDirectory() {
      return (flags & IS_DIRECTORY) !== 0
    },
    get hasContent() {
      return (flags & HAS_CONTENT) !== 0
    },
    get block() {
      return block
    },
    get from() {
      return from
    },
    get to() {
      return to
    },
    follows: (run) => run.block === block && beforeBlock === block && run.to === before,
    next: () => {
      before = to
      beforeBlock = block
      do valid = step()
      while (valid && (flags & DIRECTORY) !== 0)
    },
    matches: (now) =>
      (flags & SETTLED) !== 0 &&
      block.readDoubleLE(from + 16) === now.size &&
      block.readDoubleLE(from + 24) === now.mtimeMs &&
      block.readDoubleLE(from + 32) === now.ctimeMs &&
      block.readDoubleLE(from + 48) === now.ino &&
      block.readDoubleLE(from + 40) === now.dev,
    line: () =>
      (flags & ASCII) !== 0
        ? block.toString('latin1', lineAt(), lineEnd())
        : block.toString('utf8', lineAt(), lineEnd()),
    uses: () => {
      const uses: [number, number][] = []
      for (let at = lineEnd(); at < to; at += 16) {
        uses.push([block.readDoubleLE(at), block.readDoubleLE(at + 8)])
      }
      return uses
    },
  }
}

/** The entries of a run, in order; `use` gets the cursor standing on each. */
export const eachOf = (run: Run, use: (dir: Bytes, cursor: Cursor) => void): void => {
  let given = false
  const part = run.block.subarray(run.from, run.to)
  const cursor = createCursor(() => {
    if (given) return null
    given = true
    return part
  })
  for (cursor.next(); cursor.valid; cursor.next())
    use(cursor.dir === '' ? run.dir : cursor.dir, cursor)
}
