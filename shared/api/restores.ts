import { type Static, Type } from '../schema.ts'
import { backupStatus, Reason } from './backups.ts'
import { serverStatus, serverType } from './servers.ts'
import { body, bytes, count, id, listQuery, name, nullable, oneOf, time } from './shapes.ts'

/** Files named in one request; more: folders and globs. */
export const MOST_FILES = 10_000
/** So many of them are shown in the answer. */
export const MOST_SHOWN = 100

/** Absolute, and of a length that every message can carry. */
const targetPath = Type.String({ pattern: '^/[^\\x00]*$', maxLength: 4096 })

/** A file id, an absolute path (with everything below it) or a glob; see core/selection.ts of the control plane. */
const wanted = Type.String({ minLength: 1, maxLength: 8192 })
export const files = Type.Array(wanted, { minItems: 1, maxItems: MOST_FILES })

/** What was asked for: `id` is null for a glob. */
export const WantedFile = Type.Object({
  id: nullable(Type.String()),
  path: Type.String(),
  glob: Type.Boolean(),
})

export const conflict = oneOf('overwrite', 'skip')

/** Servers reached by `ssh` are not offered before the control plane can reach them. */
export const RestoreInput = body({
  files: Type.Optional(files),
  compute: Type.Optional(body({ type: oneOf('agent'), server_id: id })),
  target_path: Type.Optional(targetPath),
  conflict: Type.Optional(conflict),
})

const RestoreCounts = Type.Object({
  files: count,
  directories: count,
  others: count,
  skipped: count,
  failed: count,
})

/** How far it is: in the restore itself, and in its stream of events. */
const course = {
  status: backupStatus,
  phase: oneOf('waiting', 'checking', 'restoring', 'finishing', 'done'),
  counts: nullable(RestoreCounts),
  /** What is wanted in all, as far as it is known; 0 before it has been counted. */
  files_total: count,
  bytes: Type.Object({ total: bytes, restored: bytes, fetched: bytes }),
}
export const RestoreProgress = Type.Object(course)

const compute = Type.Object({
  id,
  type: serverType,
  server: Type.Object({
    id,
    name,
    host: nullable(Type.String()),
    port: nullable(count),
    user: nullable(Type.String()),
    status: serverStatus,
    created_at: time,
    last_used: nullable(time),
  }),
})

export const Restore = Type.Object({
  id,
  org_id: id,
  job_id: id,
  backup_id: id,
  compute,
  ...course,
  triggered_by: Type.Object({ name: Type.String(), token_id: Type.Optional(id) }),
  /** Null: where everything was. */
  target_path: nullable(Type.String()),
  /** Null: nothing that exists may be overwritten; the restore fails with CONFLICT before it writes anything. */
  conflict: nullable(conflict),
  /** The first of what was asked for; empty: everything. */
  files: Type.Array(WantedFile),
  /** How many were asked for; 0: everything. */
  file_count: count,
  created_at: time,
  updated_at: time,
  started_at: nullable(time),
  completed_at: nullable(time),
  error: nullable(Reason),
  /** Who holds the customer's key approves it: until then the restore is `pending`. */
  open_request_id: nullable(id),
  safety_backup_id: Type.Null(),
  requires_restart: Type.Boolean(),
  message: Type.String(),
  monitoring_available: Type.Boolean(),
})

export const RestoreQuery = listQuery(
  {
    server_id: Type.Optional(id),
    job_id: Type.Optional(id),
    backup_id: Type.Optional(id),
    project_id: Type.Optional(id),
    status: Type.Optional(backupStatus),
  },
  ['created_at', 'status', 'completed_at'],
)

export type WantedFile = Static<typeof WantedFile>
export type Restore = Static<typeof Restore>
export type RestoreProgress = Static<typeof RestoreProgress>
export type RestoreInput = Static<typeof RestoreInput>
export type RestoreQuery = Static<typeof RestoreQuery>
