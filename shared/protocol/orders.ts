/** Control plane → agent, once the connection is open. Each type has a heading in PROTOCOL.md. */
import { Limits } from '../limits.ts'
import { type Static, Type } from '../schema.ts'
import { base64url, envelope, id, list, ofRun, problem, recipients, text, whole } from './fields.ts'
import { RESTORE_ORDERS } from './restore-orders.ts'

export const FilesSource = Type.Object({
  type: Type.Literal('files'),
  paths: list(text(4096), 1000),
  exclude: Type.Optional(list(text(4096), 1000)),
  exclude_caches: Type.Optional(Type.Boolean()),
  exclude_if_present: Type.Optional(list(text(255), 100)),
  max_file_size: Type.Optional(whole),
  one_file_system: Type.Optional(Type.Boolean()),
})

export const BackupStart = Type.Object({
  type: Type.Literal('backup.start'),
  ...envelope,
  ...ofRun,
  lease_seconds: whole,
  job: id,
  job_name: text(200),
  vault: Type.Object({
    id,
    is_new: Type.Boolean(),
    /** The storage has lost its first signer or secret: both are to be written again, as they were. */
    again: Type.Optional(Type.Boolean()),
    recipients,
  }),
  catalog_epoch: whole,
  /** Number of this backup in its (vault, job), one above the parent's. */
  sequence: whole,
  /** The newest committed backup of this job in this vault. */
  parent: Type.Union([
    Type.Null(),
    Type.Object({ backup: id, sequence: whole, record_sha256: base64url(32) }),
  ]),
  /** Sequence numbers of this (vault, job) that are still kept, as [first, last] runs. */
  kept: list(Type.Tuple([whole, whole]), 1000),
  sources: list(FilesSource, 100),
  gc_epoch: whole,
  /** Packs condemned or deleted since the last gc_epoch that this agent confirmed by a commit: their blobs count as absent. */
  gone: list(whole, 10_000),
  /** More is gone than `gone` can say: no pack of this vault that the agent knows of counts. */
  forget: Type.Optional(Type.Boolean()),
  /** Packs that are to be left, within a budget a run: nothing new may count on them. */
  retired: Type.Optional(list(whole, 10_000)),
  pack_bytes: whole,
  /** What the backup before had: files, and bytes of the sources. */
  expected: Type.Optional(Type.Object({ files: whole, bytes: whole })),
})

export const BackupCancel = Type.Object({
  type: Type.Literal('backup.cancel'),
  ...envelope,
  ...ofRun,
})

/** The run is to wait where it is, and to go on; `leases` says the same again. */
export const BackupPause = Type.Object({
  type: Type.Literal('backup.pause'),
  ...envelope,
  ...ofRun,
})

export const BackupResume = Type.Object({
  type: Type.Literal('backup.resume'),
  ...envelope,
  ...ofRun,
})

/** A block of fresh pack numbers: `first` to `first + count - 1`. */
export const NumbersGiven = Type.Object({
  type: Type.Literal('numbers.given'),
  ...envelope,
  run: id,
  first: whole,
  count: whole,
})

/** A signed PUT of one object: these headers, this body, nothing else, before `expires_at` (ms). */
export const Grant = Type.Object({
  no: whole,
  key: text(1024),
  url: text(4096),
  headers: Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 2048 })),
  expires_at: whole,
})

export const GrantsGiven = Type.Object({
  type: Type.Literal('grants.given'),
  ...envelope,
  run: id,
  grants: list(Grant, 64),
})

/** These objects are now *stored* in the catalog: later runs may count on them. */
export const ObjectsConfirmed = Type.Object({
  type: Type.Literal('objects.confirmed'),
  ...envelope,
  run: id,
})

export const PageTaken = Type.Object({ type: Type.Literal('commit.taken'), ...envelope, run: id })

export const CommitDone = Type.Object({
  type: Type.Literal('commit.done'),
  ...envelope,
  run: id,
  sequence: whole,
  gc_epoch: whole,
})

/** Packs that the commit references and the store does not have: send them again from the source. */
export const CommitMissing = Type.Object({
  type: Type.Literal('commit.missing'),
  ...envelope,
  run: id,
  packs: list(whole, 10_000),
})

/** The end of a run that is no backup is noted. */
export const BackupSettled = Type.Object({
  type: Type.Literal('backup.settled'),
  ...envelope,
  run: id,
})

/** Answer to a heartbeat: the runs whose lease was renewed, and those that the agent no longer holds. */
export const Leases = Type.Object({
  type: Type.Literal('leases'),
  ...envelope,
  renewed: list(
    Type.Object({
      ...ofRun,
      lease_seconds: whole,
      /** Left out: it is not paused. */
      paused: Type.Optional(Type.Boolean()),
    }),
    100,
  ),
  lost: list(id, 100),
  /** Left out: none. */
  limits: Type.Optional(Limits),
  priority: Type.Optional(Type.Union([Type.Literal('low'), Type.Literal('normal')])),
})

/** The request in `re` was not done. */
export const RequestFailed = Type.Object({
  type: Type.Literal('failed'),
  ...envelope,
  problem,
})

export const ORDERS = {
  'backup.start': BackupStart,
  'backup.cancel': BackupCancel,
  'backup.pause': BackupPause,
  'backup.resume': BackupResume,
  'numbers.given': NumbersGiven,
  'grants.given': GrantsGiven,
  'objects.confirmed': ObjectsConfirmed,
  'commit.taken': PageTaken,
  'commit.done': CommitDone,
  'commit.missing': CommitMissing,
  'backup.settled': BackupSettled,
  leases: Leases,
  failed: RequestFailed,
  ...RESTORE_ORDERS,
} as const

export type BackupStart = Static<typeof BackupStart>
export type Grant = Static<typeof Grant>
export type FilesSource = Static<typeof FilesSource>
export type Orders = { [K in keyof typeof ORDERS]: Static<(typeof ORDERS)[K]> }
export type Order = Orders[keyof Orders]
