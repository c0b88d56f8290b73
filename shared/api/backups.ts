import { type Static, Type } from '../schema.ts'
import { keyType } from './encryption-keys.ts'
import { environment } from './servers.ts'
import {
  body,
  bytes,
  count,
  filterText,
  id,
  line,
  ListMeta,
  listQuery,
  name,
  nullable,
  oneOf,
  time,
  when,
} from './shapes.ts'
import { BackupFile } from './files.ts'
import { LastVerified } from './findings.ts'

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

export const TAGS = ['manual', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const
export const tag = oneOf(...TAGS)
const isSet = Type.Boolean()

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
  label: nullable(Type.String()),
  tags: Type.Object({
    manual: isSet,
    hourly: isSet,
    daily: isSet,
    weekly: isSet,
    monthly: isSet,
    yearly: isSet,
  }),
  s3_directory: nullable(Type.String()),
  created_at: time,
  updated_at: time,
  started_at: nullable(time),
  completed_at: nullable(time),
  /** Since when it waits because somebody paused it. */
  paused_at: nullable(time),
  error: nullable(Reason),
  attempt: count,
  retry_count: count,
  pinned: Type.Boolean(),
  pin_label: nullable(Type.String()),
  /** Spans in ISO 8601. */
  ttl: nullable(Type.String()),
  inactivity_timeout: nullable(Type.String()),
  expires_at: nullable(time),
  last_used_at: nullable(time),
  counts: nullable(Counts),
  error_count: count,
  /** The first of them; the log has more. */
  errors: Type.Array(
    Type.Object({ path: Type.String(), code: Type.String(), problem: Type.String() }),
  ),
  bytes: Type.Object({ source: bytes, new: bytes, stored: bytes }),
  encryption_key: Type.Object({ id, type: keyType, recipient: Type.String() }),
  operations: Type.Array(operation),
  /** What would stand in the way of removing it. */
  dependents: Type.Array(Type.Object({ type: oneOf('restore'), id })),
  last_verified: LastVerified,
  monitoring_available: Type.Boolean(),
})

/** One backup by itself: with the first 100 entries of its tree; all are under `/files`. */
export const BackupDetail = Type.Object({
  ...Backup.properties,
  files: Type.Array(BackupFile),
  /** Why `files` is empty though the backup has some: the storage is away, or the backup damaged. */
  files_error: nullable(Reason),
})

const description = Type.String({ maxLength: 2000 })

export const BackupInput = body({
  /** Left out: the label, or "Manual backup". */
  name: Type.Optional(name),
  description: Type.Optional(description),
  external_id: Type.Optional(line(200)),
  label: Type.Optional(line(200)),
  /** Left out: `manual`. */
  tags: Type.Optional(Type.Array(tag, { maxItems: TAGS.length })),
  /** An older version of the job, as it was; left out: the present one. */
  version: Type.Optional(Type.Integer({ minimum: 1, maximum: 2_147_483_647 })),
})

export const BackupChange = body({
  name: Type.Optional(name),
  description: Type.Optional(description),
})

const filters = {
  job_version: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 2_147_483_647, description: 'those of this version' }),
  ),
  server_id: Type.Optional(id),
  environment: Type.Optional(environment),
  status: Type.Optional(backupStatus),
  tag: Type.Optional(tag),
  trigger: Type.Optional(trigger),
  external_id: filterText('those that were started with it'),
  search: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: 'in name and description; upper and lower case are the same',
    }),
  ),
  created_after: Type.Optional(when),
  created_before: Type.Optional(when),
  started_since: Type.Optional(when),
  completed_since: Type.Optional(when),
}

const sortable = ['created_at', 'name', 'status', 'size_bytes', 'completed_at'] as const

export const BackupQuery = listQuery(
  { job_id: Type.Optional(id), project_id: Type.Optional(id), ...filters },
  sortable,
)

/** Those of one job, and of one project. */
export const JobBackupQuery = listQuery({ project_id: Type.Optional(id), ...filters }, sortable)
export const ProjectBackupQuery = listQuery({ job_id: Type.Optional(id), ...filters }, sortable)

/** `total_bytes`: of the sources of all that match, a lower bound where `total` is one. */
export const BackupList = Type.Object({
  data: Type.Array(Backup),
  meta: Type.Object({ ...ListMeta.properties, total_bytes: bytes }),
})

const step = Type.Object({
  name: Type.String(),
  type: oneOf('phase'),
  status: oneOf('pending', 'in_progress', 'completed', 'failed'),
  row_count: nullable(count),
})

export const Progress = Type.Object({
  status: backupStatus,
  /** Since when it waits because somebody paused it. */
  paused_at: nullable(time),
  phase: oneOf('waiting', 'scanning', 'uploading', 'committing', 'done'),
  steps: Type.Array(step),
  completed_steps: count,
  total_steps: count,
  elapsed_seconds: Type.Number({ minimum: 0 }),
  /** To the later bound of `ends`; null: not known. */
  eta_seconds: nullable(Type.Number({ minimum: 0 })),
  /** 0 to 0.99, and 1 at the end; null where the whole is not known. */
  share: nullable(Type.Number({ minimum: 0, maximum: 1 })),
  /** Bytes of the sources a second, over the last while. */
  rate: nullable(count),
  /** Between which times it may end; only where that can be known. `revisions`: so often was `latest` said too early. */
  ends: nullable(Type.Object({ earliest: time, latest: time, revisions: count })),
  duration_seconds: Type.Optional(Type.Number({ minimum: 0 })),
  counts: nullable(Counts),
  bytes: Type.Object({ source: bytes, read: bytes, new: bytes, stored: bytes }),
})

export type BackupStatus = (typeof BACKUP_STATUSES)[number]
export type Backup = Static<typeof Backup>
export type BackupDetail = Static<typeof BackupDetail>
export type BackupInput = Static<typeof BackupInput>
export type BackupChange = Static<typeof BackupChange>
export type BackupList = Static<typeof BackupList>
export type Tag = (typeof TAGS)[number]
export type BackupQuery = Static<typeof BackupQuery>
export type Progress = Static<typeof Progress>
export type Reason = Static<typeof Reason>
