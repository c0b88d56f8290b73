/** What the system can do with files and Node cannot. Absent where there is no such package, or no such system. */
import type { Attribute } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { Fault } from '../core/stat.ts'

/** An open file, or a path whose last link is not followed. */
export type FileRef = number | string | Buffer

/** Writing calls throw what the system said, with its `code`, as those of node:fs do. */
export type Native = {
  /** Those that are kept in backups; nothing where the file system has none at all. */
  attributes(file: FileRef): readonly Attribute[] | Fault
  setAttribute(file: FileRef, name: Bytes, value: Bytes): void
  /** Nothing where there is none of this name. */
  removeAttribute(file: FileRef, name: Bytes): void
  hasAttribute(file: FileRef, name: Bytes): boolean
  /** Times of access and of modification, to the nanosecond. */
  setTime(file: FileRef, mtime: bigint): void
  setMode(path: string | Buffer, mode: number): void
  /** A new file (0600) of this name in an open directory, to be written; `close` ends it. */
  createIn(directory: number, name: Bytes): number
  close(fd: number): void
  /** Another name in the same directory; what has it is replaced. */
  renameIn(directory: number, from: Bytes, to: Bytes): void
  /** The same, but what has the name stays (`EEXIST`); false where the system cannot do that. */
  renameNewIn(directory: number, from: Bytes, to: Bytes): boolean
  /** Where the next data at or after `from` begins; -1: there is none up to the end of the file. */
  nextData(fd: number, from: number): number
  /** Where the next hole at or after `from` begins; the end of the file counts as one. */
  nextHole(fd: number, from: number): number
  /** ioprio_set(2) of a thread; what the system refuses stays as it is. */
  setDiskPriority(thread: number, value: number): void
}
