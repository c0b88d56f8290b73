/**
 * What the flows ask of the world. The rows that people see are those of shared/api, made by the statements
 * themselves. Every call is bound to one organization: an id of another one is "not there", never "not allowed".
 */
import type { Backup, BackupQuery, Progress } from '#shared/api/backups.ts'
import type {
  EncryptionKey,
  EncryptionKeyInput,
  EncryptionKeyQuery,
} from '#shared/api/encryption-keys.ts'
import type { Job, JobInput, JobQuery } from '#shared/api/jobs.ts'
import type { Enrollment, Server, ServerInput, ServerQuery } from '#shared/api/servers.ts'
import type { Storage, StorageInput, StorageQuery } from '#shared/api/storages.ts'
import type { Me, Scope } from '#shared/api/tokens.ts'
import type {
  BackupId,
  JobId,
  KeyId,
  OrgId,
  ProjectId,
  ServerId,
  StorageId,
  TokenId,
} from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'
import type { Page, PageRequest } from './core/page.ts'

/** Who holds the token of a request, and what it may do. */
export type Caller = {
  readonly organization: OrgId
  readonly token: TokenId
  readonly name: string
  readonly scopes: readonly Scope[]
  /** A token of one project sees only that project. */
  readonly project: ProjectId | null
}

export type Tokens = {
  /** `null` for one that is unknown, revoked or expired. Notes the use, at most once a minute. */
  find(token: string): Promise<Caller | null>
}

export type Organizations = {
  me(caller: Caller): Promise<Me>
}

type Reads<Row, RowId, Query> = {
  list(caller: Caller, page: PageRequest, filters: Query): Promise<Page<Row>>
  get(caller: Caller, id: RowId): Promise<Row | null>
}

export type Servers = Reads<Server, ServerId, ServerQuery> & {
  add(caller: Caller, input: ServerInput): Promise<Server>
}

/** The credentials arrive in the clear and are sealed before they are stored. */
export type Storages = Reads<Storage, StorageId, StorageQuery> & {
  add(caller: Caller, input: StorageInput): Promise<Storage>
}

/** A managed key is made and its identity sealed here; of a customer's key only the recipient is kept. */
export type EncryptionKeys = Reads<EncryptionKey, KeyId, EncryptionKeyQuery> & {
  add(caller: Caller, input: EncryptionKeyInput): Promise<EncryptionKey>
}

/** What a job points to, each found for its caller. */
export type JobTargets = {
  readonly server: ServerId
  readonly storage: StorageId
  readonly key: KeyId
}

export type Jobs = Reads<Job, JobId, JobQuery> & {
  add(caller: Caller, input: JobInput, targets: JobTargets): Promise<Job>
}

export type NewBackup = {
  readonly job: JobId
  readonly name: string
  readonly description: string | null
  readonly external_id: string | null
}

export type Backups = Reads<Backup, BackupId, BackupQuery> & {
  /** One statement: the new pending backup, or the one of the same job that is not over yet. */
  start(
    caller: Caller,
    wanted: NewBackup,
  ): Promise<{ readonly started: BackupId } | { readonly running: BackupId }>
  progress(caller: Caller, id: BackupId): Promise<Progress | null>
}

/** A vault as it is offered for pinning: whom its objects will be sealed to. */
export type PreparedVault = Enrollment['vaults'][number]

/** Finds or makes the vault of (server, storage, key), with its list recipient. */
export type PrepareVault = (
  caller: Caller,
  of: { readonly server: ServerId; readonly storage: StorageId; readonly key: KeyId },
) => Promise<PreparedVault>

export type EnrollmentTokens = {
  /** Makes the token; only its hash is kept, so `token` cannot be shown again. */
  add(
    caller: Caller,
    wanted: {
      readonly server: ServerId
      readonly lifetime: Ms
      readonly vaults: readonly { readonly storage: StorageId; readonly key: KeyId }[]
    },
  ): Promise<{ readonly id: string; readonly token: string; readonly expires_at: string }>
}
