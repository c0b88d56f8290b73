/** Reading the bytes of files into memory that is given: never following a link, never waiting for a pipe. */
import { closeSync, constants, fstatSync, openSync, readSync, type BigIntStats } from 'node:fs'
import type { Bytes } from '#shared/format/tree-order.ts'
import {
  newStats,
  OUTCOME,
  storeStat,
  WHOLE_READ,
  type FileFault,
  type Outcome,
} from '../core/sealing.ts'
import { isFile, msOf } from '../core/stat.ts'
import type { Window } from '../ports.ts'
import { codeOf, faultOf } from './fault.ts'
import { fsPath } from './path.ts'

/** Where the content of a file lies in the arena. */
export type Content = {
  readonly start: number
  readonly end: number
  /** The file's last byte is in it. */
  readonly reachesEnd: boolean
  readonly isWholeFile: boolean
}

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
// Reading for a backup is no use of a file. Linux has it; elsewhere 0.
const NO_ATIME = Object.hasOwn(constants, 'O_NOATIME') ? constants.O_NOATIME : 0
const FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK

const openFile = (path: Bytes): number => {
  const where = fsPath(path)
  if (NO_ATIME === 0) return openSync(where, FLAGS)
  try {
    return openSync(where, FLAGS | NO_ATIME)
  } catch (error) {
    // Only the owner and root may ask for it.
    if (codeOf(error) !== 'EPERM') throw error
    return openSync(where, FLAGS)
  }
}

type Target = { readonly arena: Uint8Array; readonly start: number; readonly length: number }

/** Reads up to `length` bytes; fewer only at the end of the file. */
const fill = (fd: number, target: Target, position: number): number => {
  let got = 0
  while (got < target.length) {
    const n = readSync(fd, target.arena, target.start + got, target.length - got, position + got)
    if (n === 0) break
    got += n
  }
  return got
}

/** What the second fstat says about the time of reading. */
const compare = (fd: number, before: BigIntStats): Outcome => {
  const after = fstatSync(fd)
  const same = msOf(before.mtimeNs) === after.mtimeMs && msOf(before.ctimeNs) === after.ctimeMs
  const size = Number(before.size)
  if (after.size > size) return OUTCOME.grown
  if (after.size < size) return OUTCOME.shrunk
  return same ? OUTCOME.read : OUTCOME.changed
}

type One = { readonly stat: BigIntStats; readonly got: number; readonly outcome: Outcome }

/** A file that is written to while it is read is read once more: many writers need only a moment. */
const TRIES = 2

const readOne = (fd: number, arena: Uint8Array, start: number): One => {
  for (let attempt = 1; ; attempt += 1) {
    const stat = fstatSync(fd, { bigint: true })
    const size = Number(stat.size)
    const fits = size <= WHOLE_READ && start + size <= arena.length
    if (!fits || !isFile(Number(stat.mode))) return { stat, got: 0, outcome: OUTCOME.later }
    const got = fill(fd, { arena, start, length: size }, 0)
    const outcome = got < size ? OUTCOME.shrunk : compare(fd, stat)
    if (outcome !== OUTCOME.changed || attempt === TRIES) return { stat, got, outcome }
  }
}

const withFile = <T>(path: Bytes, use: (fd: number) => T): T => {
  const fd = openFile(path)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

type Wholes = {
  readonly stats: BigInt64Array
  readonly outcomes: Uint8Array
  readonly faults: readonly FileFault[]
  readonly sizes: Float64Array
  readonly contents: readonly Content[]
  readonly readAt: number
}

/** Reads files of up to `WHOLE_READ` bytes one behind the other; what no longer fits is `later`. */
export const readWholes = (
  paths: readonly Bytes[],
  arena: Uint8Array,
  now: () => number,
): Wholes => {
  const readAt = now()
  const stats = newStats(paths.length)
  const outcomes = new Uint8Array(paths.length)
  const sizes = new Float64Array(paths.length)
  const faults: FileFault[] = []
  let at = 0
  const contents = paths.map((path, index) => {
    const start = at
    try {
      const { stat, got, outcome } = withFile(path, (fd) => readOne(fd, arena, start))
      storeStat(stats, index, stat)
      outcomes[index] = outcome
      sizes[index] = got
      at += got
    } catch (error) {
      outcomes[index] = OUTCOME.fault
      faults.push({ index, ...faultOf(error) })
    }
    return { start, end: at, reachesEnd: true, isWholeFile: true }
  })
  return { stats, outcomes, faults, sizes, contents, readAt }
}

type Part = Omit<Wholes, 'contents'> & { readonly content: Content | null }

type PartMemory = { readonly arena: Uint8Array; readonly now: () => number }

/** Reads a part of a large file, as much as the arena holds. */
export const readPart = (window: Window, { arena, now }: PartMemory): Part => {
  const { path, from, limit } = window
  const readAt = now()
  const stats = newStats(1)
  const outcomes = new Uint8Array(1)
  const sizes = new Float64Array(1)
  try {
    const content = withFile(path, (fd) => {
      const stat = fstatSync(fd, { bigint: true })
      storeStat(stats, 0, stat)
      if (!isFile(Number(stat.mode))) {
        outcomes[0] = OUTCOME.later
        return null
      }
      const end = limit < 0 ? Number(stat.size) : limit
      const length = Math.max(0, Math.min(arena.length, end - from))
      const got = fill(fd, { arena, start: 0, length }, from)
      outcomes[0] = got < length ? OUTCOME.shrunk : compare(fd, stat)
      sizes[0] = got
      const reachesEnd = got < length || from + got >= end
      return { start: 0, end: got, reachesEnd, isWholeFile: false }
    })
    return { stats, outcomes, faults: [], sizes, content, readAt }
  } catch (error) {
    outcomes[0] = OUTCOME.fault
    const faults = [{ index: 0, ...faultOf(error) }]
    return { stats, outcomes, faults, sizes, content: null, readAt }
  }
}
