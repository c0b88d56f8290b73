/** What the file system says about an entry, as numbers. */
import { SECOND, type Ms } from '#shared/units.ts'

/** lstat with times as floating-point ms: about 0.25 µs fine, which tells changes apart but is not kept in the tree. */
export type Stat = {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly size: number
  readonly dev: number
  readonly ino: number
  readonly mtimeMs: number
  readonly ctimeMs: number
}

/** Everything exactly; what the tree is written from. */
export type Exact = {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly size: number
  readonly dev: bigint
  readonly ino: bigint
  readonly rdev: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

/** The file system's refusal: its code (ENOENT, EACCES, EIO, …) and its words. */
export type Fault = { readonly fault: string; readonly problem: string }

export const isFault = (answer: object): answer is Fault => 'fault' in answer

/** By what an unchanged entry is recognised (FORMAT.md: size, mtime, ctime, device, inode). */
export type Signature = {
  readonly size: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly dev: number
  readonly ino: number
}

type Owned = {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly dev: number | bigint
  readonly ino: number | bigint
}

/**
 * Of a directory above the sources: what comes and goes in it is no part of the backup, so its times and size say
 * nothing. Only where it is, whose it is and who may enter it count.
 */
export const outsideSignature = (stat: Owned): Signature => ({
  size: stat.mode,
  mtimeMs: stat.uid,
  ctimeMs: stat.gid,
  dev: Number(stat.dev),
  ino: Number(stat.ino),
})

const BILLION = 1_000_000_000n

/** The same floating-point ms that lstat gives: seconds times 1000 plus nanoseconds over a million, in this order. */
export const msOf = (ns: bigint): number => {
  const rest = ((ns % BILLION) + BILLION) % BILLION
  return Number((ns - rest) / BILLION) * 1000 + Number(rest) / 1_000_000
}

export const signatureOf = (exact: Exact): Signature => ({
  size: exact.size,
  mtimeMs: msOf(exact.mtimeNs),
  ctimeMs: msOf(exact.ctimeNs),
  dev: Number(exact.dev),
  ino: Number(exact.ino),
})

/** An entry this close to its own read may change again without its times showing it. */
export const UNSETTLED: Ms = 2 * SECOND

/** A ctime in the future means that the clock was set back, and the time may come again. */
export const isSettled = (signature: Signature, readAt: Ms): boolean =>
  Math.abs(readAt - signature.mtimeMs) > UNSETTLED && signature.ctimeMs < readAt - UNSETTLED

const TYPE = 0o170000
export const isDirectory = (mode: number): boolean => (mode & TYPE) === 0o040000
export const isFile = (mode: number): boolean => (mode & TYPE) === 0o100000
export const isLink = (mode: number): boolean => (mode & TYPE) === 0o120000

export type Kind = 'file' | 'directory' | 'symlink' | 'fifo' | 'char' | 'block' | 'socket'

const KINDS: Readonly<Record<number, Kind>> = {
  0o100000: 'file',
  0o040000: 'directory',
  0o120000: 'symlink',
  0o010000: 'fifo',
  0o020000: 'char',
  0o060000: 'block',
  0o140000: 'socket',
}

/** Anything unknown counts as a socket: it is noted, not read. */
export const kindOf = (mode: number): Kind => KINDS[mode & TYPE] ?? 'socket'
