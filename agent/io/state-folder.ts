/** The port `StateFolder` on a folder of the disk: mode 0700, files 0600. */
import {
  closeSync,
  constants,
  fsyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { crc32 } from 'node:zlib'
import { dirname, join } from 'node:path'
import { fail } from '#shared/errors.ts'
import { KiB, MiB } from '#shared/units.ts'
import type {
  BlockLog,
  BlocksEnd,
  BlockSink,
  BlockSource,
  RecordFile,
  StateFolder,
} from '../ports.ts'
import { codeOf } from './fault.ts'

const MODE = 0o600
const FOLDER_MODE = 0o700

const syncFolder = (folder: string): void => {
  const fd = openSync(folder, constants.O_RDONLY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const writeAll = (fd: number, bytes: Uint8Array): void => {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at)
}

const readExactly = (fd: number, bytes: Uint8Array, position: number): number => {
  let got = 0
  while (got < bytes.length) {
    const n = readSync(fd, bytes, got, bytes.length - got, position + got)
    if (n === 0) break
    got += n
  }
  return got
}

const isNotThere = (error: unknown): boolean => codeOf(error) === 'ENOENT'

const replaceFile = (path: string, bytes: Uint8Array): void => {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
  const fresh = `${path}.new`
  const fd = openSync(fresh, 'w', MODE)
  try {
    writeAll(fd, bytes)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(fresh, path)
  syncFolder(dirname(path))
}

/** An unfinished last line, left by a crash, would swallow the next one. */
const cutUnfinishedLine = (fd: number): void => {
  const { size } = fstatSync(fd)
  const tail = Buffer.alloc(Math.min(size, 64 * KiB))
  readExactly(fd, tail, size - tail.length)
  if (tail.length === 0 || tail.at(-1) === 0x0a) return
  ftruncateSync(fd, size - tail.length + tail.lastIndexOf(0x0a) + 1)
}

const appendTo = (path: string, lines: readonly string[]): void => {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
  const fd = openSync(path, 'a+', MODE)
  try {
    cutUnfinishedLine(fd)
    writeAll(fd, Buffer.from(lines.map((line) => `${line}\n`).join('')))
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Records are kept back until this many bytes are together. */
const TAIL = 256 * KiB
const WINDOW = MiB

const openRecords = (path: string, size: number): RecordFile => {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, MODE)
  // A crash may leave part of a record at the end.
  let written = Math.floor(fstatSync(fd).size / size)
  const tail = Buffer.alloc(Math.floor(TAIL / size) * size)
  let kept = 0
  const one = Buffer.alloc(size)
  const spill = (): void => {
    if (kept === 0) return
    const bytes = tail.subarray(0, kept)
    for (let at = 0; at < kept;) at += writeSync(fd, bytes, at, kept - at, written * size + at)
    written += kept / size
    kept = 0
  }
  return {
    get count() {
      return written + kept / size
    },
    append: (record) => {
      if (record.length !== size) throw new RangeError('a record of another size')
      if (kept + size > tail.length) spill()
      tail.set(record, kept)
      kept += size
      return written + kept / size - 1
    },
    read: (record) => {
      if (record >= written)
        return tail.subarray((record - written) * size, (record - written + 1) * size)
      if (readExactly(fd, one, record * size) < size)
        throw fail('DAMAGED', {
          what: 'The local index of this agent',
          problem: 'it ends too early',
        })
      return one
    },
    scan: (use) => {
      spill()
      const window = Buffer.alloc(Math.floor(WINDOW / size) * size)
      for (let first = 0; first < written; first += window.length / size) {
        const part = window.subarray(0, Math.min(window.length, (written - first) * size))
        readExactly(fd, part, first * size)
        use(part, first)
      }
    },
    flush: () => {
      spill()
      fsyncSync(fd)
    },
    close: () => {
      spill()
      closeSync(fd)
    },
  }
}

/** Before each block: its length and its CRC-32. One of length 0 with this in its place ends the file. */
const HEAD = 8
const END = 0x444e4521
/** Over what a block of ours has. */
const MOST_PACKED = 32 * MiB

const openBlocks = (path: string, ends: BlocksEnd): BlockSource | null => {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY)
  } catch (error) {
    if (isNotThere(error)) return null
    throw error
  }
  let position = 0
  const head = Buffer.alloc(HEAD)
  const damaged = (problem: string): Error =>
    fail('DAMAGED', { what: 'The local tree of this agent', problem })
  const { size } = fstatSync(fd)
  return {
    next: () => {
      const got = readExactly(fd, head, position)
      if (got === 0 && ends === 'anywhere') return null
      if (got < HEAD) throw damaged('it ends too early')
      const [length, check] = [head.readUInt32LE(0), head.readUInt32LE(4)]
      if (length === 0 && check === END) return null
      // Before memory is taken.
      if (length > Math.min(MOST_PACKED, size - position - HEAD)) throw damaged('it ends too early')
      const packed = Buffer.allocUnsafe(length)
      if (readExactly(fd, packed, position + HEAD) < length) throw damaged('it ends too early')
      if (crc32(packed) !== check) throw damaged('a block is not as it was written')
      position += HEAD + length
      return packed
    },
    close: () => closeSync(fd),
  }
}

const writeBlock = (fd: number, packed: Uint8Array): void => {
  const head = Buffer.alloc(HEAD)
  head.writeUInt32LE(packed.length)
  head.writeUInt32LE(crc32(packed), 4)
  writeAll(fd, head)
  writeAll(fd, packed)
}

const createLog = (path: string): BlockLog => {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
  const fd = openSync(path, 'w', MODE)
  return {
    write: (packed) => writeBlock(fd, packed),
    sync: () => fsyncSync(fd),
    close: () => closeSync(fd),
  }
}

const createBlocks = (path: string): BlockSink => {
  mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE })
  const fresh = `${path}.new`
  const fd = openSync(fresh, 'w', MODE)
  let open = true
  return {
    write: (packed) => writeBlock(fd, packed),
    finish: () => {
      const end = Buffer.alloc(HEAD)
      end.writeUInt32LE(END, 4)
      writeAll(fd, end)
      fsyncSync(fd)
      closeSync(fd)
      open = false
      renameSync(fresh, path)
      syncFolder(dirname(path))
    },
    discard: () => {
      if (!open) return
      open = false
      closeSync(fd)
      rmSync(fresh, { force: true })
    },
  }
}

export const stateFolder = (folder: string): StateFolder => {
  const at = (path: string): string => join(folder, path)
  return {
    read: (path) => {
      try {
        return readFileSync(at(path))
      } catch (error) {
        if (isNotThere(error)) return null
        throw error
      }
    },
    replace: (path, bytes) => replaceFile(at(path), bytes),
    remove: (path) => rmSync(at(path), { force: true }),
    rename: (from, to) => {
      renameSync(at(from), at(to))
      syncFolder(dirname(at(to)))
    },
    list: (path) => {
      try {
        return readdirSync(at(path))
      } catch (error) {
        if (isNotThere(error)) return []
        throw error
      }
    },
    appendLines: (path, lines) => appendTo(at(path), lines),
    records: (path, size) => openRecords(at(path), size),
    blocks: (path, ends = 'marked') => openBlocks(at(path), ends),
    newBlocks: (path) => createBlocks(at(path)),
    blockLog: (path) => createLog(at(path)),
  }
}
