/** What the sealing threads hand over: compact arrays, because there is one row per file and per blob. */
import type { Attribute } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { MiB } from '#shared/units.ts'
import type { Hole } from './sparse.ts'
import type { Exact, Fault } from './stat.ts'

/** Memory of one reading: a batch of small files, or the part of a large one that is looked at together. */
export const ARENA = 8 * MiB
/** Files of up to this size are read whole, several in one batch; larger ones part by part. */
export const WHOLE_READ = 4 * MiB
/** Content that a batch aims at, and the most files in it. */
export const BATCH_BYTES = 4 * MiB
export const BATCH_FILES = 512

/** What became of one file of a batch. */
export const OUTCOME = {
  read: 0,
  /** It grew meanwhile: what it held when it was opened was read. */
  grown: 1,
  /** It was written to meanwhile: what was read may mix old and new. */
  changed: 2,
  /** It ended before the size that it had when it was opened. */
  shrunk: 3,
  fault: 4,
  /** It no longer fits into this batch, or became large: to be read anew. */
  later: 5,
} as const
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME]

export type FileFault = {
  readonly index: number
  readonly fault: string
  readonly problem: string
}

/** What few files have. */
export type FileExtra = {
  readonly index: number
  readonly attributes: readonly Attribute[] | Fault
  /** Of what was read; the content is the rest. */
  readonly holes: readonly Hole[]
}

const FIELDS = 10

export type ReadFiles = {
  /** Ten numbers a file: fstat before the first byte was read. */
  readonly stats: BigInt64Array
  readonly outcomes: Uint8Array
  readonly faults: readonly FileFault[]
  readonly extras: readonly FileExtra[]
  /** Bytes of content read of each file, without its holes. */
  readonly sizes: Float64Array
  readonly pieceCounts: Uint32Array
  /** 32 bytes a piece, files in order, pieces in order. */
  readonly ids: Uint8Array
  readonly lengths: Uint32Array
  /** Where the next part of a large file begins; -1 when this was its last. */
  readonly next: number
  /** Wall clock, ms, before the first of these files was opened. */
  readonly readAt: number
}

/** Four numbers for each fresh piece, in order: pack, frame offset, frame length, offset in the frame. */
export type Placed = {
  readonly places: Float64Array
  /** Pack numbers that were not needed. */
  readonly unused: readonly number[]
}

export type Sealed = {
  readonly kind: 'pack' | 'tree'
  readonly no: number
  readonly bytes: Uint8Array
  /** age header and payload nonce. */
  readonly header: Uint8Array
  /** base64url, of the object and of `header`. */
  readonly sha256: string
  readonly headerHash: string
}

export const newStats = (files: number): BigInt64Array => new BigInt64Array(files * FIELDS)

type BigStat = {
  readonly mode: bigint
  readonly uid: bigint
  readonly gid: bigint
  readonly nlink: bigint
  readonly size: bigint
  readonly dev: bigint
  readonly ino: bigint
  readonly rdev: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

export const storeStat = (stats: BigInt64Array, index: number, stat: BigStat): void => {
  const at = index * FIELDS
  stats[at] = stat.mode
  stats[at + 1] = stat.uid
  stats[at + 2] = stat.gid
  stats[at + 3] = stat.nlink
  stats[at + 4] = stat.size
  stats[at + 5] = stat.dev
  stats[at + 6] = stat.ino
  stats[at + 7] = stat.rdev
  stats[at + 8] = stat.mtimeNs
  stats[at + 9] = stat.ctimeNs
}

export const loadStat = (stats: BigInt64Array, index: number): Exact => {
  const field = (n: number): bigint => stats[index * FIELDS + n] ?? 0n
  return {
    mode: Number(field(0)),
    uid: Number(field(1)),
    gid: Number(field(2)),
    nlink: Number(field(3)),
    size: Number(field(4)),
    dev: BigInt.asUintN(64, field(5)),
    ino: BigInt.asUintN(64, field(6)),
    rdev: BigInt.asUintN(64, field(7)),
    mtimeNs: field(8),
    ctimeNs: field(9),
  }
}

/** Most packs that one reading can begin: its content may fill this many, and one may be full already. */
export const numbersFor = (packBytes: number): number => Math.ceil(ARENA / packBytes) + 1

export type FilesTask = { readonly paths: readonly Bytes[] }
