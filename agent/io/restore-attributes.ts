/** Owner, mode and times of what was restored, and the name it gets last. Runs in every thread of a restore. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  linkSync,
  lutimesSync,
  openSync,
  renameSync,
  unlinkSync,
  constants,
} from 'node:fs'
import type { Bytes } from '#shared/format/tree-order.ts'
import { ACCESS, DEFAULT, kindOfAttribute } from '../core/attributes.ts'
import type { Attributes, Naming, NotSet } from '../core/restore-job.ts'
import type { FileRef, Native } from '../ports/native.ts'
import { native } from './native.ts'
import { codeOf } from './restore-paths.ts'

const SECOND = 1_000_000_000n
const MICROSECOND = 1000n

/** Microseconds, rounded down also before 1970. */
const microseconds = (nanoseconds: bigint): bigint =>
  (nanoseconds - (nanoseconds < 0n ? MICROSECOND - 1n : 0n)) / MICROSECOND

/** The microsecond that the system makes of seconds given as a double. */
const kept = (seconds: number): bigint => {
  const whole = Math.trunc(seconds)
  return microseconds(BigInt(whole) * SECOND + BigInt(Math.trunc((seconds - whole) * 1e9)))
}

/**
 * Seconds as Node takes them, a double: steps of 240 ns for times of now. The nearest step may lie in a neighbouring
 * microsecond; then the next one is taken (until the year 2242 there is one). As text, for Node reads a negative
 * number as "now".
 */
export const timeText = (nanoseconds: bigint): string => {
  const seconds = Number(nanoseconds) / 1e9
  const step = 2 ** (Math.floor(Math.log2(Math.max(1, Math.abs(seconds)))) - 52)
  const wanted = microseconds(nanoseconds)
  const near = [seconds, seconds + step, seconds - step]
  return String(near.find((time) => kept(time) === wanted) ?? seconds)
}

/** Access lists that a new inode has from the directory that it is in: of these only what the entry says stays. */
export type Inherited = readonly Bytes[]
export const NOT_INHERITED: Inherited = []
export const AS_FILE: Inherited = [ACCESS]
export const AS_DIRECTORY: Inherited = [ACCESS, DEFAULT]

/**
 * Through the open file, so that no name is looked up again. The owner first: changing it clears set-id bits and
 * capabilities. Attributes before the mode, which may take the right to set them.
 */
export const setAttributes = (fd: number, attributes: Attributes, inherited: Inherited): NotSet => {
  const { mode, owner, mtime } = attributes
  if (owner !== null) fchownSync(fd, owner[0], owner[1])
  const notSet = setExtended(fd, attributes, inherited)
  fchmodSync(fd, mode)
  setTime(fd, mtime)
  return notSet
}

const ALL_SET: NotSet = []

/** What the system does not take is said by kind, and no reason to lose the file. */
export const setExtended = (
  file: FileRef,
  { xattrs }: Attributes,
  inherited: Inherited,
): NotSet => {
  if (xattrs.length === 0 && inherited.length === 0) return ALL_SET
  const system = native()
  const kinds = new Set<string>()
  const attempt = (name: Bytes, act: (system: Native) => void): void => {
    try {
      if (system === null) kinds.add(`${kindOfAttribute(name)} (koffi is not there)`)
      else act(system)
    } catch (error) {
      kinds.add(`${kindOfAttribute(name)} (${codeOf(error)})`)
    }
  }
  for (const name of system === null ? [] : inherited) {
    if (!xattrs.some(([one]) => one === name))
      attempt(name, (system) => system.removeAttribute(file, name))
  }
  for (const [name, value] of xattrs)
    attempt(name, (system) => system.setAttribute(file, name, value))
  return kinds.size === 0 ? ALL_SET : [...kinds]
}

/** To the nanosecond where the system can be asked for that, else to the microsecond. */
export const setTime = (fd: number, mtime: bigint): void => {
  const system = native()
  if (system !== null) {
    system.setTime(fd, mtime)
    return
  }
  const time = timeText(mtime)
  futimesSync(fd, time, time)
}

/** The same for what cannot be opened; a link is not followed. */
export const setTimeAt = (path: Path, mtime: bigint): void => {
  const system = native()
  if (system !== null) {
    system.setTime(path, mtime)
    return
  }
  const time = timeText(mtime)
  lutimesSync(path, time, time)
}

type Path = string | Buffer

/**
 * Gives a finished file its name. Where that may be taken (`exclusive`), by a link, which fails where a rename would
 * replace; file systems without hard links get the name reserved first. A rename costs less.
 */
export const giveName = (temporary: Path, name: Path, naming: Naming): void => {
  if (naming !== 'exclusive') {
    renameSync(temporary, name)
    return
  }
  try {
    linkSync(temporary, name)
    unlinkSync(temporary)
  } catch (error) {
    if (!NO_LINKS.has(codeOf(error))) throw error
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW
    closeSync(openSync(name, flags, 0o600))
    renameSync(temporary, name)
  }
}

const NO_LINKS: ReadonlySet<string> = new Set([
  'EPERM',
  'EOPNOTSUPP',
  'ENOTSUP',
  'ENOSYS',
  'EMLINK',
])
