/** Reading the bytes of files into memory that is given: never following a link, never waiting for a pipe. */
import { closeSync, constants, fstatSync, openSync, readSync, type BigIntStats } from 'node:fs'
import type { Bytes } from '#shared/format/tree-order.ts'
import {
  newStats,
  OUTCOME,
  storeStat,
  WHOLE_READ,
  type FileExtra,
  type FileFault,
  type Outcome,
} from '../core/sealing.ts'
import { dataRuns, type Hole, holesBefore, NO_HOLES, positionAfter } from '../core/sparse.ts'
import { isFault, isFile, msOf } from '../core/stat.ts'
import type { Window } from '../ports.ts'
import type { Native } from '../ports/native.ts'
import { codeOf, faultOf } from './fault.ts'
import { reach } from './path.ts'
import { holesOf } from './sparse.ts'

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

const openFile = (path: Bytes): number => reach(path, openAt)

const openAt = (where: string | Buffer): number => {
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

type Filled = { readonly got: number; readonly holes: readonly Hole[]; readonly isShort: boolean }

type Span = { readonly from: number; readonly end: number; readonly holes: readonly Hole[] }

/** Reads what of `[from, end)` lies in no hole, one run behind the other. */
const fillRuns = (fd: number, target: Target, { from, end, holes }: Span): Filled => {
  let got = 0
  for (const [offset, length] of dataRuns(holes, { from, end, room: target.length })) {
    const { arena, start } = target
    const n = fill(fd, { arena, start: start + got, length }, offset)
    got += n
    // What lay behind its new end is gone, holes too.
    if (n < length) return { got, holes: holesBefore(holes, offset + n), isShort: true }
  }
  return { got, holes, isShort: false }
}

type One = {
  readonly stat: BigIntStats
  readonly got: number
  readonly outcome: Outcome
  readonly holes: readonly Hole[]
}

/** Where content goes, and what helps to read it. */
export type Reading = {
  readonly arena: Uint8Array
  readonly now: () => number
  readonly native: Native | null
}

/** A file that is written to while it is read is read once more: many writers need only a moment. */
const TRIES = 2

const readOne = (fd: number, { arena, native }: Reading, start: number): One => {
  for (let attempt = 1; ; attempt += 1) {
    const stat = fstatSync(fd, { bigint: true })
    const size = Number(stat.size)
    const fits = size <= WHOLE_READ && start + size <= arena.length
    if (!fits || !isFile(Number(stat.mode)))
      return { stat, got: 0, outcome: OUTCOME.later, holes: NO_HOLES }
    const span = { from: 0, end: size, holes: holesOf(native, fd, stat) }
    const { isShort, ...filled } = fillRuns(fd, { arena, start, length: size }, span)
    const outcome = isShort ? OUTCOME.shrunk : compare(fd, stat)
    if (outcome !== OUTCOME.changed || attempt === TRIES) return { stat, outcome, ...filled }
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

/** Nothing for most files: one call that says so. */
const extraOf = (
  native: Native | null,
  fd: number,
  index: number,
  holes: readonly Hole[],
): FileExtra | null => {
  const attributes = native?.attributes(fd) ?? []
  const isPlain = !isFault(attributes) && attributes.length === 0 && holes.length === 0
  return isPlain ? null : { index, attributes, holes }
}

type Wholes = {
  readonly stats: BigInt64Array
  readonly outcomes: Uint8Array
  readonly faults: readonly FileFault[]
  readonly extras: readonly FileExtra[]
  readonly sizes: Float64Array
  readonly contents: readonly Content[]
  readonly readAt: number
}

/** Reads files of up to `WHOLE_READ` bytes one behind the other; what no longer fits is `later`. */
export const readWholes = (paths: readonly Bytes[], reading: Reading): Wholes => {
  const readAt = reading.now()
  const stats = newStats(paths.length)
  const outcomes = new Uint8Array(paths.length)
  const sizes = new Float64Array(paths.length)
  const faults: FileFault[] = []
  const extras: FileExtra[] = []
  let at = 0
  const contents = paths.map((path, index) => {
    const start = at
    try {
      const { stat, got, outcome } = withFile(path, (fd) => {
        const one = readOne(fd, reading, start)
        const extra = extraOf(reading.native, fd, index, one.holes)
        if (extra !== null) extras.push(extra)
        return one
      })
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
  return { stats, outcomes, faults, extras, sizes, contents, readAt }
}

type Part = Omit<Wholes, 'contents'> & {
  readonly content: Content | null
  /** Where in the file its first `bytes` of this part's content end. */
  readonly positionAfter: (bytes: number) => number
}

/** Reads a part of a large file, as much as the arena holds. */
export const readPart = (window: Window, reading: Reading): Part => {
  const { from } = window
  const readAt = reading.now()
  const stats = newStats(1)
  const outcomes = new Uint8Array(1)
  const sizes = new Float64Array(1)
  const part = { stats, outcomes, sizes, readAt }
  try {
    const read = withFile(window.path, (fd) => {
      const stat = fstatSync(fd, { bigint: true })
      storeStat(stats, 0, stat)
      if (!isFile(Number(stat.mode))) return null
      return readSpan(fd, stat, { window, reading })
    })
    outcomes[0] = read?.outcome ?? OUTCOME.later
    sizes[0] = read?.content.end ?? 0
    const holes = read?.extra?.holes ?? NO_HOLES
    return {
      ...part,
      faults: [],
      extras: read?.extra == null ? [] : [read.extra],
      content: read?.content ?? null,
      positionAfter: (bytes) => positionAfter(holes, from, bytes),
    }
  } catch (error) {
    outcomes[0] = OUTCOME.fault
    const faults = [{ index: 0, ...faultOf(error) }]
    return { ...part, faults, extras: [], content: null, positionAfter: () => from }
  }
}

type SpanRead = {
  readonly content: Content
  readonly outcome: Outcome
  readonly extra: FileExtra | null
}

const readSpan = (
  fd: number,
  stat: BigIntStats,
  { window, reading }: { readonly window: Window; readonly reading: Reading },
): SpanRead => {
  const { from, limit } = window
  const { arena, native } = reading
  const end = limit < 0 ? Number(stat.size) : limit
  // Where they are is found out once: a file that changes meanwhile is read as it was laid out at first.
  const holes = window.holes ?? holesOf(native, fd, stat)
  const filled = fillRuns(fd, { arena, start: 0, length: arena.length }, { from, end, holes })
  const { got } = filled
  const reachesEnd = filled.isShort || got < arena.length || positionAfter(holes, from, got) >= end
  return {
    content: { start: 0, end: got, reachesEnd, isWholeFile: false },
    outcome: filled.isShort ? OUTCOME.shrunk : compare(fd, stat),
    extra: extraOf(native, fd, 0, filled.holes),
  }
}
