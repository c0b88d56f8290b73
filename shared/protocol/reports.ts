/** Agent → control plane, once the connection is open. Each type has a heading in PROTOCOL.md. */
import { type Static, Type } from '../schema.ts'
import {
  base64url,
  base64urlUpTo,
  envelope,
  id,
  list,
  objectClass,
  ofRun,
  problem,
  text,
  whole,
} from './fields.ts'
import { RESTORE_REPORTS } from './restore-reports.ts'

export const BackupAccepted = Type.Object({
  type: Type.Literal('backup.accepted'),
  ...envelope,
  ...ofRun,
})

export const BackupRefused = Type.Object({
  type: Type.Literal('backup.refused'),
  ...envelope,
  ...ofRun,
  problem,
})

/** The vault's first objects are stored: its genesis as written, byte for byte. */
export const VaultOpened = Type.Object({
  type: Type.Literal('vault.opened'),
  ...envelope,
  ...ofRun,
  vault: id,
  genesis: base64urlUpTo(16 * 1024),
})

export const NumbersRequest = Type.Object({
  type: Type.Literal('numbers.request'),
  ...envelope,
  ...ofRun,
  count: Type.Integer({ minimum: 1, maximum: 1024 }),
  above: Type.Optional(whole),
})

/** `no`: the pack number for packs and trees, the sequence for a record, the chain number for signers and keys. */
export const Wanted = Type.Object({
  class: objectClass,
  no: whole,
  size: whole,
  sha256: base64url(32),
})

export const GrantsRequest = Type.Object({
  type: Type.Literal('grants.request'),
  ...envelope,
  ...ofRun,
  objects: list(Wanted, 64),
})

export const ObjectsStored = Type.Object({
  type: Type.Literal('objects.stored'),
  ...envelope,
  ...ofRun,
  objects: list(
    Type.Object({
      class: objectClass,
      no: whole,
      etag: text(200),
      /** age header and payload nonce, as they stand in the object; empty for what is not an age file. */
      header: base64urlUpTo(8 * 1024),
    }),
    64,
  ),
})

export const Counts = Type.Object({
  files: whole,
  directories: whole,
  others: whole,
  changed: whole,
  unchanged: whole,
  skipped: whole,
  errors: whole,
})

export const Progress = Type.Object({
  type: Type.Literal('progress'),
  ...envelope,
  ...ofRun,
  phase: Type.Union([
    Type.Literal('scanning'),
    Type.Literal('uploading'),
    Type.Literal('committing'),
  ]),
  counts: Counts,
  /** Bytes of the sources looked at so far, of those read, of content new to the vault, and put into the store. */
  bytes_source: whole,
  bytes_read: whole,
  bytes_new: whole,
  bytes_stored: whole,
  /** How far that is; see shared/estimate.ts. */
  estimate: Type.Optional(
    Type.Object({
      /** 0 to 0.99. */
      share: Type.Union([Type.Null(), Type.Number({ minimum: 0, maximum: 1 })]),
      /** Bytes of the sources a second. */
      rate: Type.Union([Type.Null(), whole]),
      /** Milliseconds from now on, at least and at most. */
      left: Type.Union([Type.Null(), Type.Tuple([whole, whole])]),
      /** So often was the later bound said too early. */
      revisions: whole,
    }),
  ),
})

/** Live bytes by pack that differ from the parent's (`changes`) or all of them (`whole`); 0 = no longer used. */
export const CommitPage = Type.Object({
  type: Type.Literal('commit.page'),
  ...envelope,
  ...ofRun,
  page: whole,
  of: whole,
  kind: Type.Union([Type.Literal('changes'), Type.Literal('whole')]),
  packs: list(Type.Tuple([whole, whole]), 10_000),
})

export const FileProblem = Type.Object({ path: text(8192), code: text(64), problem: text(500) })

/** The record is stored: make it a backup. */
export const CommitFinish = Type.Object({
  type: Type.Literal('commit.finish'),
  ...envelope,
  ...ofRun,
  sequence: whole,
  counts: Counts,
  bytes_source: whole,
  bytes_new: whole,
  bytes_stored: whole,
  error_count: whole,
  errors: list(FileProblem, 100),
})

/** The run is over on the agent without a commit. */
export const BackupEnded = Type.Object({
  type: Type.Literal('backup.ended'),
  ...envelope,
  ...ofRun,
  status: Type.Union([Type.Literal('failed'), Type.Literal('canceled')]),
  problem,
})

/** Alive, with the runs that this agent still works on. */
export const Heartbeat = Type.Object({
  type: Type.Literal('heartbeat'),
  ...envelope,
  runs: list(Type.Object(ofRun), 100),
})

export const LogLine = Type.Object({
  type: Type.Literal('log'),
  ...envelope,
  ...ofRun,
  level: Type.Union([Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')]),
  message: text(2000),
})

export const REPORTS = {
  'backup.accepted': BackupAccepted,
  'backup.refused': BackupRefused,
  'vault.opened': VaultOpened,
  'numbers.request': NumbersRequest,
  'grants.request': GrantsRequest,
  'objects.stored': ObjectsStored,
  progress: Progress,
  'commit.page': CommitPage,
  'commit.finish': CommitFinish,
  'backup.ended': BackupEnded,
  heartbeat: Heartbeat,
  log: LogLine,
  ...RESTORE_REPORTS,
} as const

export type Counts = Static<typeof Counts>
export type Wanted = Static<typeof Wanted>
export type FileProblem = Static<typeof FileProblem>
export type ObjectClass = Static<typeof objectClass>
export type Reports = { [K in keyof typeof REPORTS]: Static<(typeof REPORTS)[K]> }
export type Report = Reports[keyof Reports]
