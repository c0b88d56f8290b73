/** Owner, mode and times of what was restored, and the name it gets last. Runs in every thread of a restore. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  futimesSync,
  linkSync,
  openSync,
  renameSync,
  unlinkSync,
  constants,
} from 'node:fs'
import type { Attributes, Naming } from '../core/restore-job.ts'
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

/** Through the open file, so that no name is looked up again. The owner first: changing it clears set-id bits. */
export const setAttributes = (fd: number, { mode, owner, mtime }: Attributes): void => {
  if (owner !== null) fchownSync(fd, owner[0], owner[1])
  fchmodSync(fd, mode)
  setTime(fd, mtime)
}

export const setTime = (fd: number, mtime: bigint): void => {
  const time = timeText(mtime)
  futimesSync(fd, time, time)
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
