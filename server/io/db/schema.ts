import type { VerificationLevel } from '#shared/api/verifications.ts'
import type {
  Id,
  JobId,
  KeyId,
  OrgId,
  ProjectId,
  ServerId,
  StorageId,
  TokenId,
  VaultId,
} from '#shared/ids.ts'
import type {
  Backups,
  BackupEvents,
  BackupLogs,
  CommitPages,
  JobHeads,
  PackRefs,
  Packs,
  VaultObjects,
} from './schema-backups.ts'
import type { Collections, Removals } from './schema-deletion.ts'
import type {
  DownloadEvents,
  DownloadObjects,
  Downloads,
  VerificationEvents,
  VerificationPlans,
  Verifications,
} from './schema-downloads.ts'
import type {
  Actor,
  Bytes,
  Default,
  DefaultTime,
  Json,
  JsonObject,
  Time,
} from './schema-columns.ts'
import type {
  OpenRequestPacks,
  OpenRequests,
  RestoreEvents,
  RestoreLogs,
  Restores,
  RestoreSelections,
} from './schema-restores.ts'

export type { Json, JsonObject } from './schema-columns.ts'
export type { BackupStatus, LogLevel, PackClass, PackState, Trigger } from './schema-backups.ts'

/**
 * The tables as Kysely sees them, column by column as in migrations/. `test/contract/database-schema.test.ts` compares
 * every name and nullability with the migrated database. bigint are numbers (open.ts), bytea Uint8Array, times Date.
 */
export type Scope = 'read' | 'backup' | 'restore' | 'download' | 'delete' | 'keys' | 'admin'
export type Environment = 'production' | 'staging' | 'development'
export type ServerStatus = 'pending' | 'online' | 'offline' | 'failing'

type Organizations = {
  id: OrgId
  name: string
  recovery_recipient: string | null
  signing_public_key: Bytes | null
  kit_confirmed_at: Time | null
  catalog_epoch: Default<number>
  limits: Default<JsonObject>
  blackout_windows: Default<readonly Json[]>
  created_at: DefaultTime
  updated_at: DefaultTime
}

type Projects = {
  id: ProjectId
  org_id: OrgId
  name: string
  deleted_at: Time | null
  created_at: DefaultTime
  updated_at: DefaultTime
}

type Tokens = {
  id: TokenId
  org_id: OrgId
  project_id: ProjectId | null
  name: string
  hash: Bytes
  scopes: Scope[]
  expires_at: Time | null
  last_used_at: Time | null
  revoked_at: Time | null
  created_at: DefaultTime
}

type Servers = {
  id: ServerId
  org_id: OrgId
  project_id: ProjectId | null
  name: string
  type: 'agent' | 'ssh'
  environment: Default<Environment>
  labels: Default<Readonly<Record<string, string>>>
  status: Default<ServerStatus>
  host: string | null
  port: number | null
  user: string | null
  host_key: string | null
  jump_server_id: ServerId | null
  facts: Default<JsonObject>
  agent_version: string | null
  signing_key: Bytes | null
  box_key: Bytes | null
  join_counter: Default<number>
  settings: Default<JsonObject>
  settings_at: Time | null
  enrolled_at: Time | null
  last_seen_at: Time | null
  last_used_at: Time | null
  revoked_at: Time | null
  deleted_at: Time | null
  created_at: DefaultTime
  updated_at: DefaultTime
}

type EnrollmentTokens = {
  id: Id<'enrollment token'>
  org_id: OrgId
  server_id: ServerId
  hash: Bytes
  vaults: Default<readonly { readonly storage_id: StorageId; readonly encryption_key_id: KeyId }[]>
  created_by: TokenId | null
  expires_at: Time
  used_at: Time | null
  created_at: DefaultTime
}

type Storages = {
  id: StorageId
  org_id: OrgId
  name: string
  provider: string
  endpoint: string
  region: string
  bucket: string
  prefix: Default<string>
  path_style: Default<boolean>
  sealed_credentials: Bytes
  capabilities: Default<JsonObject>
  allow_plaintext_downloads: Default<boolean>
  verify_level: VerificationLevel | null
  verify_every_seconds: number | null
  tested_at: Time | null
  deleted_at: Time | null
  created_at: DefaultTime
  updated_at: DefaultTime
}

type EncryptionKeys = {
  id: KeyId
  org_id: OrgId
  name: string
  type: 'managed' | 'customer'
  recipient: string
  sealed_identity: Bytes | null
  deleted_at: Time | null
  created_at: DefaultTime
}

/** The pinned sets of a vault, in the text form of age recipients. */
export type RecipientSets = {
  readonly content: readonly string[]
  readonly recovery: readonly string[]
  readonly list: readonly string[]
}

type Vaults = {
  id: VaultId
  org_id: OrgId
  server_id: ServerId
  storage_id: StorageId
  encryption_key_id: KeyId
  list_recipient: string
  sealed_list_identity: Bytes
  recipients: RecipientSets
  genesis: Bytes | null
  genesis_fingerprint: Bytes | null
  genesis_key: string | null
  unwritten_at: Time | null
  signers: Default<readonly { readonly key: string; readonly bytes: string }[]>
  unread_at: Time | null
  agent_key: Bytes | null
  catalog_epoch: Default<number>
  next_pack_counter: Default<number>
  gc_epoch: Default<number>
  retired_at: Time | null
  created_at: DefaultTime
  updated_at: DefaultTime
}

type Jobs = {
  id: JobId
  org_id: OrgId
  server_id: ServerId
  storage_id: StorageId
  encryption_key_id: KeyId
  name: string
  version: Default<number>
  external_id: string | null
  paused_at: Time | null
  next_run_at: Time | null
  deleted_at: Time | null
  created_at: DefaultTime
  updated_at: DefaultTime
}

type JobVersions = {
  job_id: JobId
  version: number
  org_id: OrgId
  name: string
  storage_id: StorageId
  encryption_key_id: KeyId
  external_id: string | null
  sources: readonly JsonObject[]
  schedules: Default<readonly JsonObject[]>
  retention: JsonObject | null
  settings: Default<JsonObject>
  created_by: Actor | null
  created_at: DefaultTime
}

type IdempotencyKeys = {
  token_id: TokenId
  key: string
  org_id: OrgId
  request_sha256: Bytes
  status: number | null
  sealed_response: Bytes | null
  holder: Id<'message'> | null
  lease_until: Time | null
  created_at: DefaultTime
}

type AuditLog = {
  id: Id<'audit entry'>
  org_id: OrgId
  at: DefaultTime
  actor: Actor
  action: string
  subject_type: string | null
  subject_id: string | null
  details: Default<JsonObject>
  request_id: string | null
}

export type Schema = {
  organizations: Organizations
  projects: Projects
  tokens: Tokens
  servers: Servers
  enrollment_tokens: EnrollmentTokens
  storages: Storages
  encryption_keys: EncryptionKeys
  vaults: Vaults
  jobs: Jobs
  job_versions: JobVersions
  backups: Backups
  job_heads: JobHeads
  packs: Packs
  vault_objects: VaultObjects
  pack_refs: PackRefs
  commit_pages: CommitPages
  backup_events: BackupEvents
  backup_logs: BackupLogs
  idempotency_keys: IdempotencyKeys
  audit_log: AuditLog
  restores: Restores
  restore_selections: RestoreSelections
  restore_events: RestoreEvents
  restore_logs: RestoreLogs
  open_requests: OpenRequests
  open_request_packs: OpenRequestPacks
  downloads: Downloads
  download_objects: DownloadObjects
  download_events: DownloadEvents
  verifications: Verifications
  verification_events: VerificationEvents
  removals: Removals
  collections: Collections
  verification_plans: VerificationPlans
}
