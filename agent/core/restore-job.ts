/** What a thread of the restore is told to do, and what it answers: plain values that cross a thread boundary. */
import type { Attribute } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { Run } from './restore-layout.ts'
import type { Details, ErrorCode } from '#shared/errors.ts'
import type { OpenedObject, Whereabouts } from '#shared/read/access.ts'

/** What an inode gets besides its content. `owner` is null where it is right already or cannot be set. */
export type Attributes = {
  readonly mode: number
  readonly owner: readonly [uid: number, gid: number] | null
  readonly mtime: bigint
  /** Extended attributes and access lists, as the system takes them. */
  readonly xattrs: readonly Attribute[]
}

/** Kinds of attributes that the system did not take, each with what it said; nearly always empty. */
export type NotSet = readonly string[]

/** How a finished file gets its name. */
export type Naming =
  /** Nothing has it, and nobody else is at work there. */
  | 'fresh'
  /** Something may have it, and must stay. */
  | 'exclusive'
  /** What has it is replaced in one step, unless it is a directory. */
  | 'replace'

/** An open directory, as threads know it. One object for all files in it: it crosses to a thread once a job. */
export type DirectoryRef = {
  /** Null where only the path can be used. */
  readonly fd: number | null
  readonly path: Bytes
  /** For whoever gives a file its name here. */
  readonly naming: Naming
  /** It hands its access list down to what is made in it. */
  readonly inherits: boolean
}

/** A file whose content is at most one piece: a thread makes the whole of it. */
export type WholeFile = Attributes & { readonly directory: DirectoryRef; readonly name: Bytes }

/** Where a piece goes: all of a whole file (its index in the job), or a run of it into a file that is open already. */
export type Into = number | (Run & { readonly fd: number })

export type PieceWork = {
  readonly offset: number
  readonly length: number
  /** base64url of the blob id that it must have. */
  readonly id: string
  readonly into: readonly Into[]
}

/** One frame of the object's plaintext; pieces within it decoded. */
export type FrameWork = {
  readonly offset: number
  readonly length: number
  readonly pieces: readonly PieceWork[]
}

/** `object` is null where the files are all empty. Frames ascend. */
export type ExtractJob = {
  readonly object: OpenedObject | null
  readonly files: readonly WholeFile[]
  readonly frames: readonly FrameWork[]
}

export type Problem = {
  readonly code: ErrorCode
  readonly details: Details
}

/** `files[i]` is null when the job's file i stands under its name; `pieces` in order of frames and pieces likewise. */
export type ExtractResult = {
  readonly files: readonly (Problem | null)[]
  readonly pieces: readonly (readonly (Problem | null)[])[]
  /** Of each of the job's files that did not get all of its attributes. */
  readonly notSet: readonly NotSet[]
  /** Bytes of the object that were asked for, each time that they were. */
  readonly fetched: number
}

/** A read that failed in a way that may be different the next time. */
export type Trouble = {
  /** Where it was read from. */
  readonly at: Whereabouts
  /** The store said no, and was not just busy: only another address can help, if anything can. */
  readonly refused: boolean
  readonly problem: Problem
}

/** Waits for the next try; the answer says where to read, null that there is none. */
export type Again = (trouble: Trouble) => Promise<Whereabouts | null>
