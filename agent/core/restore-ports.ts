/** What reading a vault and restoring from it ask of the world; the reading half of ports.ts. */
import type { Bytes, Place } from '#shared/format/tree-order.ts'
import type { ObjectKey } from '#shared/store.ts'
import type { Whereabouts } from '#shared/read/access.ts'
import type {
  Again,
  Attributes,
  DirectoryRef,
  ExtractJob,
  ExtractResult,
  NotSet,
  Problem,
} from './restore-job.ts'

/**
 * The objects of vaults, wherever they lie; keys begin with `vaults/`. Reading gives exactly the bytes asked for or
 * throws: `MISSING_OBJECT` when there is none, `DAMAGED` when it ends before them, `SOURCE_UNREADABLE` or
 * `STORAGE_UNAVAILABLE` when the world failed, after trying again where that can help.
 */
export type ObjectSource = {
  /** Ids of the vaults, ascending. */
  vaults(): Promise<readonly string[]>
  /** Every key that starts with `prefix` (which ends with a slash), in byte order. */
  list(prefix: string): Promise<readonly ObjectKey[]>
  /** Bytes of the object, or null when it is not there. */
  size(key: ObjectKey): Promise<number | null>
  read(key: ObjectKey, start: number, end: number): Promise<Uint8Array>
  /** Where another thread reads it; null when it is not there. */
  whereabouts(key: ObjectKey): Whereabouts | null
}

/** What a name is taken by; symbolic links are something else than what they lead to. */
export type Taken = 'nothing' | 'directory' | 'other'

/** An open directory below the target, and how any thread reaches it; `done` lets it be closed. */
export type OpenDirectory = {
  readonly ref: DirectoryRef
  look(name: Bytes): Taken
  /** Whether names that differ in case or composition alone are one here. Finds out by making a file for a moment. */
  folds(): boolean
  readonly done: () => void
}

/**
 * Hears of the directories that writing on the way touches, before it does: `mtime` (ns) is that of one that was there,
 * null is one that is made now.
 */
export type OnWay = (dir: Bytes, mtime: bigint | null) => void

/** A file being written under a temporary name. Exactly one of `keep` and `drop` ends it. */
export type OpenFile = {
  readonly fd: number
  /** Sets the attributes and gives it its name; throws `TARGET_UNSAFE` when the name is taken. */
  keep(attributes: Attributes): NotSet
  drop(): void
}

/** A node that has no content. */
export type ContentlessNode =
  | { readonly type: 'symlink'; readonly target: Bytes }
  | { readonly type: 'fifo' }
  | { readonly type: 'char' | 'block'; readonly device: readonly [major: number, minor: number] }

/** As whom files are made: only root may give them away, or make devices. */
export type Maker = {
  readonly uid: number
  readonly gid: number
  readonly root: boolean
  /** The target hands its own group down to what is made in it. */
  readonly groupFromTarget: boolean
}

/**
 * The folder restored into. Nothing is ever written outside it or through a symbolic link, and what is there is replaced
 * only where the naming says so: `TARGET_UNSAFE` instead, or `TARGET_UNWRITABLE` where the system refuses for another
 * reason (space, rights). Directories that it makes are private (0700) until `finishDirectory`. Paths are those of the
 * tree: `/` is the target.
 */
export type RestoreTarget = {
  readonly maker: Maker
  /** Whether attributes, access lists and whole times can be set at all here. */
  readonly setsAll: boolean
  /** Whether things may be there that the restore did not make. */
  readonly shared: boolean
  /** Makes a directory, which must not be there; in a shared target, one that is there will do. */
  makeDirectory(dir: Bytes, name: Bytes): void
  /** Opens a directory; with `onWay`, it and those above it are made where they are not there. */
  directory(dir: Bytes, onWay: OnWay | null): OpenDirectory
  /** The same, to look only: null where it is not there. */
  existing(dir: Bytes): OpenDirectory | null
  file(dir: Bytes, name: Bytes, size: number): OpenFile
  node(dir: Bytes, name: Bytes, node: ContentlessNode & Attributes): NotSet
  /** Another name for the file `from`. */
  link(from: Place, dir: Bytes, name: Bytes): void
  finishDirectory(dir: Bytes, attributes: Attributes): NotSet
  /** Gives a directory back the time that it had. */
  resetTime(dir: Bytes, mtime: bigint): void
  close(): void
}

/** A folder to restore into that may hold things already. */
export type PlaceAsk = {
  /** Absolute; made where it is not there. */
  readonly folder: string
  /** Random, and written down before: temporary files are `.holdfast-<tag>-…`. */
  readonly tag: string
  /** Whether what is there is replaced, or stays. */
  readonly replace: boolean
  /** Tags of restores that were killed: files of theirs go where this one comes by. */
  readonly leftovers: readonly string[]
  /** Throws where the folder, links in its name followed, is none that may be restored into. */
  readonly allowed: (folder: string) => void
}

/** Threads that read, decrypt, decompress, check and write. Nothing of a job is lost: each piece has its answer. */
export type Extractors = {
  /** How many jobs may wait for an answer at once. */
  readonly width: number
  /** `again` decides about reads that fail; without it, they are tried a few times. */
  run(job: ExtractJob, again?: Again): Promise<ExtractResult>
  /** Breaks off what is being read; what is being written is done first, so that nothing half-made stays behind. */
  close(): Promise<void>
  /** After `close`: whether that worked; else files under temporary names may be left. */
  readonly untidy?: boolean
}

/** One try to read a range of an object, in this thread. */
export type ReadOutcome =
  | { readonly done: 'read'; readonly bytes: Uint8Array }
  /** `final`: the object is not there, or shorter; `refused` and `passing` as in `Trouble`. */
  | {
      readonly done: 'failed'
      readonly how: 'final' | 'refused' | 'passing'
      readonly problem: Problem
    }

export type ReadOnce = (
  object: { readonly at: Whereabouts; readonly key: ObjectKey },
  range: { readonly start: number; readonly end: number },
  stop: AbortSignal,
) => Promise<ReadOutcome>

export type HandedPlace = {
  readonly key: ObjectKey
  readonly at:
    { readonly url: string; readonly size: number | null } | { readonly bytes: Uint8Array }
}

/** All that reading vaults and restoring needs of the world. */
export type OpenWorld = {
  readonly folder: (path: string) => Promise<ObjectSource>
  readonly urls: (urls: readonly string[]) => ObjectSource
  /** Objects of one vault behind URLs with what is known of them, or as their bytes. */
  readonly handed: (vault: string, places: readonly HandedPlace[]) => ObjectSource
  /** A text file of a person's own: identities, lists of URLs. */
  readonly readText: (path: string) => Promise<string>
  readonly target: (folder: string) => RestoreTarget
  /** `far`: the objects are behind a network, so that more must be under way at once. */
  readonly extractors: (idKey: Uint8Array, far: boolean) => Extractors
}
