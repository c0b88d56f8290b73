import type {
  BackupId,
  JobId,
  OpenRequestId,
  OrgId,
  RestoreId,
  ServerId,
  TokenId,
  VaultId,
} from '#shared/ids.ts'
import type { BackupStatus, LogLevel } from './schema-backups.ts'
import type { Actor, Bytes, Default, DefaultTime, JsonObject, Time } from './schema-columns.ts'

/** Raw bytes of a path or glob, base64url. */
export type WantedRow = { readonly raw: string; readonly glob: boolean }

export type Restores = {
  id: RestoreId
  org_id: OrgId
  backup_id: BackupId
  job_id: JobId
  vault_id: VaultId
  server_id: ServerId
  status: Default<BackupStatus>
  triggered_by: Actor | null
  target: Default<string>
  conflict: 'overwrite' | 'skip' | 'refuse'
  places: string[]
  file_count: Default<number>
  selection_pages: Default<number>
  open_request_id: OpenRequestId | null
  lease_epoch: Default<number>
  lease_link: number | null
  lease_until: Time | null
  accepted_at: Time | null
  detached_at: Time | null
  deadline: Time | null
  cancel_requested_at: Time | null
  paused_at: Time | null
  paused_left_ms: number | null
  run_after: DefaultTime
  gc_floor: number
  phase: string | null
  progress: Default<JsonObject>
  progress_no: Default<number>
  error: JsonObject | null
  counts: Default<JsonObject>
  bytes_restored: number | null
  bytes_fetched: number | null
  created_at: DefaultTime
  started_at: Time | null
  completed_at: Time | null
  updated_at: DefaultTime
}

export type RestoreSelections = {
  restore_id: RestoreId
  page: number
  org_id: OrgId
  wanted: readonly WantedRow[]
}

export type RestoreEvents = {
  restore_id: RestoreId
  seq: number
  org_id: OrgId
  at: DefaultTime
  type: string
  body: Default<JsonObject>
}

export type RestoreLogs = {
  restore_id: RestoreId
  seq: number
  org_id: OrgId
  at: DefaultTime
  level: LogLevel
  message: string
  fields: Default<JsonObject>
}

export type OpenRequests = {
  id: OpenRequestId
  org_id: OrgId
  purpose: 'restore' | 'download' | 'verify'
  backup_id: BackupId
  vault_id: VaultId
  server_id: ServerId | null
  token_id: TokenId | null
  opener_name: string
  opener_key: Bytes
  sealed_opener_secret: Bytes | null
  signing_key: Bytes | null
  signature: Bytes | null
  asked_link: number | null
  wanted: Default<readonly WantedRow[]>
  file_count: Default<number>
  pack_count: number
  packs_sha256: Bytes
  sealed_id_key: Bytes | null
  requested_by: Actor
  approved_by: Actor | null
  created_at: DefaultTime
  expires_at: Time
  approved_at: Time | null
}

export type OpenRequestPacks = {
  request_id: OpenRequestId
  pack_no: number
  org_id: OrgId
  sealed_file_key: Bytes | null
}
