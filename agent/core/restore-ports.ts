/** What reading a vault and restoring from it ask of the world; the reading half of ports.ts. */
import type { Bytes, Place } from '#shared/format/tree-order.ts'
import type { ObjectKey } from '#shared/store.ts'
import type { Whereabouts } from '#shared/read/access.ts'
import type { Attributes, ExtractJob, ExtractResult } from './restore-job.ts'

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

/**
 * An open directory below the target, and the path by which any thread reaches it; `done` lets it be closed. Where
 * names in it may be taken (`exclusive`), a file must get its name without replacing anything.
 */
export type OpenDirectory = {
  readonly path: Bytes
  readonly exclusive: boolean
  readonly done: () => void
}

/** A file being written under a temporary name. Exactly one of `keep` and `drop` ends it. */
export type OpenFile = {
  readonly fd: number
  /** Sets the attributes and gives it its name; throws `TARGET_UNSAFE` when the name is taken. */
  keep(attributes: Attributes): void
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
 * The folder restored into. Nothing is ever written outside it, through a symbolic link, or over something that was
 * there: `TARGET_UNSAFE` instead, or `TARGET_UNWRITABLE` where the system refuses for another reason (space, rights).
 * Directories are private (0700) until `finishDirectory`. Paths are those of the tree: `/` is the target.
 */
export type RestoreTarget = {
  readonly maker: Maker
  /** Makes a directory, which must not be there. */
  makeDirectory(dir: Bytes, name: Bytes): void
  /** Opens a directory; `make`: makes it and those above it where they are not there. */
  directory(dir: Bytes, make: boolean): OpenDirectory
  file(dir: Bytes, name: Bytes, size: number): OpenFile
  node(dir: Bytes, name: Bytes, node: ContentlessNode & Attributes): void
  /** Another name for the file `from`. */
  link(from: Place, dir: Bytes, name: Bytes): void
  finishDirectory(dir: Bytes, attributes: Attributes): void
  close(): void
}

/** Threads that read, decrypt, decompress, check and write. Nothing of a job is lost: each piece has its answer. */
export type Extractors = {
  /** How many jobs may wait for an answer at once. */
  readonly width: number
  run(job: ExtractJob): Promise<ExtractResult>
  close(): Promise<void>
}

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
