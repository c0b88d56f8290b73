/**
 * Files that are nowhere: path → entry → bytes, by calculation. Loaded before anything else (`--import`), in the program
 * and in each of its threads, this module also answers the calls of node:fs that read them, so that the agent's own
 * code reads them as any other file. A folder `/generated/COUNTxBYTES` holds COUNT files of BYTES each.
 */
import fs, { type BigIntStats } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import type { Exact, Fault, Stat } from '#agent/core/stat.ts'
import type { FileSystem } from '#agent/ports.ts'
import { KiB, MiB, SECOND } from '#shared/units.ts'
import { seeded } from '../support/seeded.ts'

const ROOT = '/generated'

export const generatedFolder = (count: number, bytes: number): string => `${ROOT}/${count}x${bytes}`

/** Files a folder. */
const BRANCH = 1000
const PATH = /^\/generated(?:\/(\d+)x(\d+)(?:\/d(\d+)(?:\/f(\d+))?)?)?$/

type Entry = {
  readonly isFile: boolean
  /** Number of the file among all; of a folder, nothing. */
  readonly index: number
  readonly ino: number
  readonly size: number
  readonly names: () => readonly string[]
}

const DIGITS = 9
/** Names whose order by bytes is that of their numbers. */
const numbered = (letter: string, from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, n) => `${letter}${String(from + n).padStart(DIGITS, '0')}`)

const FIRST_INO = 1000

const folder = (ino: number, names: Entry['names']): Entry => ({
  isFile: false,
  index: 0,
  ino,
  size: 0,
  names,
})

const entryAt = (path: string): Entry | null => {
  if (path === '/') return folder(2, () => [])
  const found = PATH.exec(path)
  if (found === null) return null
  const [, countText, sizeText, dirText, fileText] = found
  if (countText === undefined) return folder(3, () => [])
  const count = Number(countText)
  const dirs = Math.ceil(count / BRANCH)
  if (dirText === undefined) return folder(4, () => numbered('d', 0, dirs))
  const dir = Number(dirText)
  const end = Math.min(count, BRANCH * (dir + 1))
  if (dir >= dirs) return null
  if (fileText === undefined) return folder(FIRST_INO + dir, () => numbered('f', BRANCH * dir, end))
  const index = Number(fileText)
  if (index < BRANCH * dir || index >= end) return null
  const ino = FIRST_INO + dirs + index
  return { isFile: true, index, ino, size: Number(sizeText), names: () => [] }
}

/** Long ago, so that nothing looks as if it were being written. */
const TIME_MS = 1_600_000_000 * SECOND
const TIME_NS = BigInt(TIME_MS) * 1_000_000n
const modeOf = ({ isFile }: Entry): number => (isFile ? 0o100644 : 0o040755)

const statOf = (entry: Entry): Stat => ({
  mode: modeOf(entry),
  uid: 0,
  gid: 0,
  nlink: 1,
  size: entry.size,
  dev: 1,
  ino: entry.ino,
  mtimeMs: TIME_MS,
  ctimeMs: TIME_MS,
})

const exactOf = (entry: Entry): Exact => ({
  ...statOf(entry),
  dev: 1n,
  ino: BigInt(entry.ino),
  rdev: 0n,
  mtimeNs: TIME_NS,
  ctimeNs: TIME_NS,
})

const MISSING: Fault = { fault: 'ENOENT', problem: 'ENOENT: no such file or directory' }
const NO_LINK: Fault = { fault: 'EINVAL', problem: 'EINVAL: not a link' }

export const generatedFiles = (): FileSystem => {
  const answer = <T>(path: string, of: (entry: Entry) => T): T | Fault => {
    const entry = entryAt(path)
    return entry === null ? MISSING : of(entry)
  }
  return {
    names: (directory) => answer(directory, (entry) => entry.names()),
    stat: (path) => answer(path, statOf),
    exact: (path) => answer(path, exactOf),
    followed: (path) => answer(path, exactOf),
    target: () => NO_LINK,
    attributes: () => [],
    begins: () => false,
    seesAll: true,
    isKernelState: () => false,
    user: () => 'root',
    group: () => 'root',
  }
}

const BLOCK = 4 * KiB
/** What blocks are cut from; each begins with its own number, so that no two of them are the same. */
const noise = Buffer.from(seeded('generated').bytes(MiB))
const STEP = 4099 // any number without a factor in common with the length of the noise

const block = Buffer.alloc(BLOCK)

/** The block of this number of the file of this number. */
const blockOf = (index: number, number: number): Buffer => {
  const from = ((number + index) * STEP) % (noise.length - BLOCK)
  noise.copy(block, 0, from, from + BLOCK)
  block.writeDoubleLE(index, 0)
  block.writeDoubleLE(number, 8)
  return block
}

type Part = { readonly start: number; readonly length: number; readonly position: number }

/** As much of the file's content as there is from `position` on. */
export const fillGenerated = (
  into: Uint8Array,
  { index, size }: Pick<Entry, 'index' | 'size'>,
  { start, length, position }: Part,
): number => {
  const end = Math.min(size, position + length)
  let at = position
  while (at < end) {
    const within = at % BLOCK
    const count = Math.min(BLOCK - within, end - at)
    into.set(
      blockOf(index, Math.floor(at / BLOCK)).subarray(within, within + count),
      start + at - position,
    )
    at += count
  }
  return Math.max(0, at - position)
}

/** What is opened in place of such a file: the operating system, asked for its attributes, has none to tell. */
const STAND_IN = '/dev/null'
/** As st_blocks counts. */
const ON_DISK = 512

/** In place of the calls of `agent/io/read-files.ts`; whatever is not below /generated goes on as ever. */
const answerReads = (): void => {
  const { openSync, closeSync, fstatSync, readSync } = fs
  const opened = new Map<number, Entry>()
  Object.assign(fs, {
    openSync: (...args: Parameters<typeof openSync>): number => {
      const [path] = args
      const entry = typeof path === 'string' && path.startsWith(ROOT) ? entryAt(path) : null
      if (entry === null) return openSync(...args)
      const fd = openSync(STAND_IN, 'r')
      opened.set(fd, entry)
      return fd
    },
    closeSync: (fd: number): void => {
      opened.delete(fd)
      closeSync(fd)
    },
    fstatSync: (fd: number, options?: { bigint?: boolean }): object => {
      const entry = opened.get(fd)
      if (entry === undefined) return fstatSync(fd, options)
      if (options?.bigint !== true) return statOf(entry)
      const { mode, uid, gid, nlink, size, ...exact } = exactOf(entry)
      const blocks = Math.ceil(size / ON_DISK)
      const numbers = { mode, uid, gid, nlink, size, blocks }
      const bigs: Partial<BigIntStats> = Object.fromEntries(
        Object.entries(numbers).map(([name, value]) => [name, BigInt(value)]),
      )
      return { ...exact, ...bigs }
    },
    readSync: (...args: [number, Uint8Array, number, number, number]): number => {
      const [fd, into, start, length, position] = args
      const entry = opened.get(fd)
      if (entry === undefined) return readSync(...args)
      return fillGenerated(into, entry, { start, length, position })
    },
  })
  syncBuiltinESMExports()
}

answerReads()
