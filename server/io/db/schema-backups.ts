import type { BackupId, JobId, OrgId, ServerId, VaultId } from '#shared/ids.ts'
import type { Actor, Bytes, Default, DefaultTime, JsonObject, Time } from './schema-columns.ts'

export type BackupStatus = 'pending' | 'running' | 'completed' | 'partial' | 'failed' | 'canceled'
export type Trigger = 'manual' | 'scheduled' | 'retry' | 'safety' | 'snapshot' | 'drill'
export type PackClass = 'pack' | 'tree'
export type VaultObjectClass = 'record' | 'signer' | 'key'
export type PackState = 'granted' | 'stored' | 'condemned' | 'deleted'
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

type BackupRun = {
  lease_epoch: Default<number>
  lease_link: number | null
  lease_until: Time | null
  accepted_at: Time | null
  detached_at: Time | null
  deadline: Time | null
  cancel_requested_at: Time | null
  paused_at: Time | null
  paused_left_ms: number | null
  attempt: Default<number>
  retry_count: Default<number>
  run_after: DefaultTime
  granted_objects: Default<number>
  granted_bytes: Default<number>
  gc_floor: number | null
  phase: string | null
  progress: Default<JsonObject>
  progress_no: Default<number>
  finish: JsonObject | null
}

type BackupResult = {
  sequence: number | null
  parent_id: BackupId | null
  record_key: string | null
  record_size: number | null
  record_sha256: Bytes | null
  record_header: Bytes | null
  record_etag: string | null
  error: JsonObject | null
  counts: Default<JsonObject>
  error_count: Default<number>
  errors: Default<readonly JsonObject[]>
  bytes_source: number | null
  bytes_new: number | null
  bytes_stored: number | null
  last_verified: Default<JsonObject>
}

export type Backups = BackupRun &
  BackupResult & {
    id: BackupId
    org_id: OrgId
    job_id: JobId
    job_version: number
    server_id: ServerId
    vault_id: VaultId | null
    name: string
    description: Default<string>
    label: string | null
    status: Default<BackupStatus>
    trigger: Trigger
    triggered_by: Actor | null
    external_id: string | null
    tags: Default<string[]>
    scheduled_for: Time | null
    pinned: Default<boolean>
    pin_label: string | null
    ttl_seconds: number | null
    inactivity_timeout_seconds: number | null
    expires_at: Time | null
    last_used_at: Time | null
    deleted_at: Time | null
    purged_at: Time | null
    record_lost_at: Time | null
    record_sealed_file_key: Bytes | null
    created_at: DefaultTime
    started_at: Time | null
    completed_at: Time | null
    updated_at: DefaultTime
  }

export type JobHeads = {
  vault_id: VaultId
  job_id: JobId
  org_id: OrgId
  sequence: Default<number>
  backup_id: BackupId | null
  record_sha256: Bytes | null
  gc_epoch: Default<number>
  updated_at: DefaultTime
}

export type Packs = {
  vault_id: VaultId
  pack_no: number
  org_id: OrgId
  class: PackClass
  object_key: string
  size: number
  sha256: Bytes
  header: Bytes | null
  etag: string | null
  state: Default<PackState>
  granted_by: BackupId | null
  granted_at: DefaultTime
  stored_at: Time | null
  condemned_at: Time | null
  condemned_epoch: number | null
  retired_epoch: number | null
  deleted_at: Time | null
  lost_at: Time | null
  sealed_file_key: Bytes | null
  most_live: Default<number>
}

export type VaultObjects = {
  vault_id: VaultId
  object_key: string
  org_id: OrgId
  class: VaultObjectClass
  no: number
  size: number
  sha256: Bytes
  header: Bytes | null
  etag: string | null
  granted_by: BackupId | null
  granted_at: DefaultTime
  stored_at: Time | null
}

export type PackRefs = {
  vault_id: VaultId
  pack_no: number
  job_id: JobId
  from_seq: number
  to_seq: number | null
  live_bytes: number
  org_id: OrgId
}

export type CommitPages = {
  backup_id: BackupId
  page: number
  org_id: OrgId
  body: JsonObject
  created_at: DefaultTime
}

export type BackupEvents = {
  backup_id: BackupId
  seq: number
  org_id: OrgId
  at: DefaultTime
  type: string
  body: Default<JsonObject>
}

export type BackupLogs = {
  backup_id: BackupId
  seq: number
  org_id: OrgId
  at: DefaultTime
  level: LogLevel
  message: string
  fields: Default<JsonObject>
}
