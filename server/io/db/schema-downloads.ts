import type { VerificationLevel } from '#shared/api/verifications.ts'
import type {
  BackupId,
  DownloadId,
  JobId,
  OpenRequestId,
  OrgId,
  StorageId,
  VaultId,
  VerificationId,
} from '#shared/ids.ts'
import type { Actor, Bytes, Default, DefaultTime, JsonObject, Time } from './schema-columns.ts'
import type { WantedRow } from './schema-restores.ts'

/** The claim of the replica that works on the row. */
type Task = {
  lease_epoch: Default<number>
  lease_until: Time | null
  attempt: Default<number>
  run_after: DefaultTime
  progress: Default<JsonObject>
  progress_no: Default<number>
  error: JsonObject | null
}

export type Downloads = Task & {
  id: DownloadId
  org_id: OrgId
  backup_id: BackupId
  vault_id: VaultId
  storage_id: StorageId
  name: string
  status: Default<'pending' | 'ready' | 'failed' | 'expired'>
  wanted: Default<readonly WantedRow[]>
  open_request_id: OpenRequestId | null
  expires_in: number
  requested_by: Actor
  gc_floor: number
  remove_after: Time | null
  removed_at: Time | null
  deleted_at: Time | null
  created_at: DefaultTime
  started_at: Time | null
  ready_at: Time | null
  expires_at: Time | null
  updated_at: DefaultTime
}

export type DownloadObjects = {
  download_id: DownloadId
  object_key: string
  org_id: OrgId
  no: number
  name: string
  path: Bytes | null
  size: number | null
  created_at: DefaultTime
}

export type DownloadEvents = {
  download_id: DownloadId
  seq: number
  org_id: OrgId
  at: DefaultTime
  type: string
  body: Default<JsonObject>
}

export type Verifications = Task & {
  id: VerificationId
  org_id: OrgId
  backup_id: BackupId
  vault_id: VaultId
  storage_id: StorageId
  level: VerificationLevel
  status: Default<'pending' | 'running' | 'completed' | 'failed' | 'canceled'>
  open_request_id: OpenRequestId | null
  requested_by: Actor
  gc_floor: number
  checkpoint: JsonObject | null
  result: JsonObject | null
  created_at: DefaultTime
  started_at: Time | null
  completed_at: Time | null
  updated_at: DefaultTime
}

export type VerificationEvents = {
  verification_id: VerificationId
  seq: number
  org_id: OrgId
  at: DefaultTime
  type: string
  body: Default<JsonObject>
}

export type VerificationPlans = {
  storage_id: StorageId
  job_id: JobId
  org_id: OrgId
  due_at: Time
}
