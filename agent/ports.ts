/** What the agent asks of the world. The flows know only these; main.ts fills them in. */
import type { Attribute } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { Grant, Orders } from '#shared/protocol/orders.ts'
import type { ObjectClass, Reports } from '#shared/protocol/reports.ts'
import type { Clock, Log, Random } from '#shared/world.ts'
import type { Placed, ReadFiles, Sealed } from './core/sealing.ts'
import type { Hole } from './core/sparse.ts'
import type { Exact, Fault, Stat } from './core/stat.ts'

/** Reading the machine's files. Nothing here throws for what a file does: a `Fault` is an answer. */
export type FileSystem = {
  /** Names in a directory in the order of their bytes. */
  names(directory: Bytes): readonly Bytes[] | Fault
  /** Cheap and good enough to see whether an entry changed; symbolic links are not followed. */
  stat(path: Bytes): Stat | Fault
  /** To the nanosecond; symbolic links are not followed. */
  exact(path: Bytes): Exact | Fault
  /** To the nanosecond, of what a symbolic link leads to. */
  followed(path: Bytes): Exact | Fault
  target(path: Bytes): Bytes | Fault
  /** Extended attributes and access lists; of what a symbolic link leads to where `follow` says so. */
  attributes(path: Bytes, follow: boolean): readonly Attribute[] | Fault
  /** Whether it is a file that begins with this text. */
  begins(path: Bytes, text: string): boolean
  /** Whether attributes and holes can be seen at all here. */
  readonly seesAll: boolean
  /** Whether a mount point shows the kernel's own state (proc, sysfs, …) instead of files. */
  isKernelState(directory: Bytes): boolean
  user(uid: number): string | undefined
  group(gid: number): string | undefined
}

/** One PUT of exactly the signed headers. */
export type Upload = (grant: Grant, body: Uint8Array, stop: AbortSignal) => Promise<UploadOutcome>

export type UploadOutcome =
  | { readonly done: 'stored'; readonly etag: string }
  /** The key exists already (412): the control plane looks what is there. */
  | { readonly done: 'exists' }
  /**
   * `regrant`: only a newly signed grant can help. `lasting`: the store refuses, so few more tries are worth it.
   * `slow`: it asks for fewer requests.
   */
  | {
      readonly done: 'failed'
      readonly problem: string
      readonly regrant: boolean
      readonly lasting: boolean
      readonly slow: boolean
    }

/** Answers to the requests of a run, by the request's type. */
export type Answers = {
  'numbers.request': Orders['numbers.given']
  'grants.request': Orders['grants.given']
  'objects.stored': Orders['objects.confirmed']
  'vault.opened': Orders['objects.confirmed']
  'commit.page': Orders['commit.taken']
  'commit.finish': Orders['commit.done'] | Orders['commit.missing']
  'backup.ended': Orders['backup.settled']
}

/** A report without what the link adds: its id, its run and the epoch of the moment. */
export type Body<T extends keyof Reports> = Omit<Reports[T], 'type' | 'id' | 're' | 'run' | 'epoch'>

export type Told = 'backup.accepted' | 'backup.refused' | 'progress' | 'log'

/**
 * The control plane as one run sees it. A request waits through lost connections and is sent again under the same id;
 * it fails with the control plane's own error, with `CONTROL_PLANE_SILENT` after a day, or when `stop` fires.
 */
export type RunLink = {
  request<T extends keyof Answers>(type: T, body: Body<T>, stop: AbortSignal): Promise<Answers[T]>
  /** Without an answer. Kept until a connection is there; of progress only what is sent at once counts. */
  tell<T extends Told>(type: T, body: Body<T>): void
}

/** What a vault's objects are sealed with and cut by. */
export type SealingSetup = {
  readonly idKey: Uint8Array
  readonly chunkerKey: Uint8Array
  /** Recipients (age1…) of packs, and of trees. */
  readonly pack: readonly string[]
  readonly tree: readonly string[]
  readonly packBytes: number
}

/** Files read and named; their blobs wait for `place` to say which of them are new to the vault. */
export type Reading = {
  readonly files: ReadFiles
  /** Appends those blobs of `files` whose flag is 1 to a pack, in order. Must be called exactly once. */
  place(fresh: Uint8Array, numbers: readonly number[]): Promise<Placed>
}

/** Part of a file from `from` on, no further than `limit` (-1: its end), without what lies in `holes` (null: look). */
export type Window = {
  readonly path: Bytes
  readonly from: number
  readonly limit: number
  readonly holes: readonly Hole[] | null
}
export type Segments = readonly { readonly bytes: Uint8Array; readonly id: Uint8Array }[]

/** The threads that read, cut, hash, compress and seal. */
export type Sealing = {
  /** Whole small files. */
  files(paths: readonly Bytes[]): Promise<Reading>
  /** The part of a large file that begins at `from`. */
  window(window: Window): Promise<Reading>
  /** Appends segments to a tree pack, each in a frame of its own. */
  segments(segments: Segments, numbers: readonly number[]): Promise<Placed>
  /** Hands out every pack of a kind that is begun. */
  flush(kind: 'pack' | 'tree'): Promise<void>
  /** Stops the threads at once. */
  close(): Promise<void>
}

/** `release` gives the memory of `sealed.bytes` back; nothing may look at them after it. */
export type OnSealed = (sealed: Sealed, release: () => void) => void

export type Sealers = {
  /** How many readings keep all threads busy. */
  readonly width: number
  start(setup: SealingSetup, onSealed: OnSealed): Sealing
}

/** One file that only grows, read back by position. */
export type RecordFile = {
  readonly count: number
  append(record: Uint8Array): number
  read(record: number): Uint8Array
  /** All records in order, in windows of whole ones; what was appended counts too. */
  scan(use: (records: Uint8Array, first: number) => void): void
  /** Everything appended is on disk, in order. */
  flush(): void
  close(): void
}

export type BlocksEnd = 'marked' | 'anywhere'

/** Packed blocks of a local tree, in order. */
export type BlockSource = {
  next(): Uint8Array | null
  close(): void
}
export type BlockSink = {
  write(packed: Uint8Array): void
  /** On disk under its name; only now does it exist. */
  finish(): void
  /** Gone without a trace; nothing when it is finished. */
  discard(): void
}
/** Blocks that are there as soon as they are written; read as a `BlockSource` when it is closed, or after a crash. */
export type BlockLog = {
  write(packed: Uint8Array): void
  /** What was written is on disk; until then a crash of the machine may take the end of it. */
  sync(): void
  close(): void
}

/** Small files that are replaced whole: a reader sees the old or the new, whatever happens. */
export type StateFolder = {
  read(path: string): Uint8Array | null
  /** Written beside, synced, renamed, the folder synced; mode 0600. */
  replace(path: string, bytes: Uint8Array): void
  remove(path: string): void
  rename(from: string, to: string): void
  list(folder: string): readonly string[]
  /** Lines appended and synced; an unfinished last line of a crash is cut off at opening. */
  appendLines(path: string, lines: readonly string[]): void
  records(path: string, recordBytes: number): RecordFile
  /** `ends`: what a crash has cut short is damaged, unless it may end anywhere (`blockLog`). */
  blocks(path: string, ends?: BlocksEnd): BlockSource | null
  newBlocks(path: string): BlockSink
  /** Begins a file anew. */
  blockLog(path: string): BlockLog
}

/** Gives the event loop its turn, so that answers, uploads and heartbeats go on while files are walked. */
export type Turn = () => Promise<void>

export type World = {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly turn: Turn
}

/** A sealed object on its way to the store. */
export type Outgoing = {
  readonly class: ObjectClass
  readonly no: number
  readonly bytes: Uint8Array
  readonly sha256: string
  /** age header and payload nonce; empty for what is not an age file. */
  readonly header: Uint8Array
}

/** A frame connection to the control plane. */
export type Socket = {
  send(frame: string): void
  close(code: number, reason: string): void
  /** Without a farewell. */
  drop(): void
}

/** Begins to connect at once; `closed` is called exactly once, also when no connection came about. */
export type Dial = (
  url: string,
  on: { frame(frame: string): void; closed(problem: string): void },
) => Socket
