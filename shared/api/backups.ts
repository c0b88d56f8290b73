import { type Static, Type } from '../schema.ts'
import { body, bytes, count, id, line, listQuery, name, nullable, oneOf, time } from './shapes.ts'
import { keyType } from './encryption-keys.ts'
import { BackupFile } from './files.ts'

export const BACKUP_STATUSES = [
  'pending',
  'running',
  'completed',
  'partial',
  'failed',
  'canceled',
] as const
export const backupStatus = oneOf(...BACKUP_STATUSES)
export const trigger = oneOf('manual', 'scheduled', 'retry', 'safety', 'snapshot', 'drill')

/** Why something ended badly, in the words of the catalogue. */
export const Reason = Type.Object({ code: Type.String(), message: Type.String() })

export const Counts = Type.Object({
  files: count,
  directories: count,
  others: count,
  changed: count,
  unchanged: count,
  skipped: count,
  errors: count,
})

const Actor = Type.Object({
  name: Type.String(),
  token_id: Type.Optional(id),
})

const operation = Type.Object({
  type: oneOf('create', 'restore'),
  status: oneOf('in_progress', 'completed', 'partial', 'failed'),
  started_at: nullable(time),
  completed_at: nullable(time),
  error: nullable(Reason),
  triggered_by: Actor,
})

export const Backup = Type.Object({
  id,
  org_id: id,
  job_id: id,
  job_name: name,
  job_version: count,
  server_id: id,
  vault_id: nullable(id),
  sequence: nullable(count),
  name,
  description: nullable(Type.String()),
  status: backupStatus,
  trigger,
  triggered_by: Actor,
  external_id: nullable(Type.String()),
  s3_directory: nullable(Type.String()),
  created_at: time,
  updated_at: time,
  started_at: nullable(time),
  completed_at: nullable(time),
  error: nullable(Reason),
  attempt: count,
  counts: nullable(Counts),
  error_count: count,
  /** The first of them; the log has more. */
  errors: Type.Array(
    Type.Object({ path: Type.String(), code: Type.String(), problem: Type.String() }),
  ),
  bytes: Type.Object({ source: bytes, new: bytes, stored: bytes }),
  encryption_key: Type.Object({ id, type: keyType, recipient: Type.String() }),
  operations: Type.Array(operation),
  monitoring_available: Type.Boolean(),
})

/** One backup by itself: with the first 100 entries of its tree; all are under `/files`. */
export const BackupDetail = Type.Object({
  ...Backup.properties,
  files: Type.Array(BackupFile),
  /** Why `files` is empty though the backup has some: the storage is away, or the backup damaged. */
  files_error: nullable(Reason),
})

export const BackupInput = body({
  name: Type.Optional(name),
  description: Type.Optional(Type.String({ maxLength: 2000 })),
  external_id: Type.Optional(line(200)),
})

export const BackupQuery = listQuery({
  job_id: Type.Optional(id),
  server_id: Type.Optional(id),
  status: Type.Optional(backupStatus),
})

const step = Type.Object({
  name: Type.String(),
  type: oneOf('phase'),
  status: oneOf('pending', 'in_progress', 'completed', 'failed'),
  row_count: nullable(count),
})

export const Progress = Type.Object({
  status: backupStatus,
  phase: oneOf('waiting', 'scanning', 'uploading', 'committing', 'done'),
  steps: Type.Array(step),
  completed_steps: count,
  total_steps: count,
  elapsed_seconds: Type.Number({ minimum: 0 }),
  eta_seconds: nullable(Type.Number({ minimum: 0 })),
  duration_seconds: Type.Optional(Type.Number({ minimum: 0 })),
  counts: nullable(Counts),
  bytes: Type.Object({ source: bytes, read: bytes, new: bytes, stored: bytes }),
})

export type BackupStatus = (typeof BACKUP_STATUSES)[number]
export type Backup = Static<typeof Backup>
export type BackupDetail = Static<typeof BackupDetail>
export type BackupInput = Static<typeof BackupInput>
export type BackupQuery = Static<typeof BackupQuery>
export type Progress = Static<typeof Progress>
export type Reason = Static<typeof Reason>
