/**
 * What the flows ask of the world. The rows that people see are those of shared/api, made by the statements
 * themselves. Every call is bound to one organization: an id of another one is "not there", never "not allowed".
 */
import type { Backup, BackupChange, BackupQuery, Progress } from '#shared/api/backups.ts'
import type {
  EncryptionKey,
  EncryptionKeyInput,
  EncryptionKeyQuery,
  ExportedKey,
} from '#shared/api/encryption-keys.ts'
import type { Job, JobQuery, JobVersion } from '#shared/api/jobs.ts'
import type {
  Enrollment,
  Server,
  ServerChange,
  ServerInput,
  ServerQuery,
} from '#shared/api/servers.ts'
import type {
  Storage,
  StorageCapabilities,
  StorageChange,
  StorageInput,
  StorageQuery,
} from '#shared/api/storages.ts'
import type { Me } from '#shared/api/tokens.ts'
import type {
  BackupId,
  JobId,
  KeyId,
  OrgId,
  ProjectId,
  ServerId,
  StorageId,
  VaultId,
} from '#shared/ids.ts'
import type { Facts, Recipients, Welcome } from '#shared/protocol/hello.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { ObjectClass, Reports, Wanted } from '#shared/protocol/reports.ts'
import type { Leave } from '#shared/protocol/session.ts'
import type { DeleteStore, ReadStore, WriteStore } from '#shared/store.ts'
import type { Ms } from '#shared/units.ts'
import type { Run, Step } from './core/backup-machine.ts'
import type { Caller } from './core/caller.ts'
import type { Page as CommitPage, planIntervals, Staged } from './core/commit.ts'
import type { Ask, Decisions, Scope as GrantScope } from './core/grant.ts'
import type { Page, PageRequest } from './core/page.ts'
import type { JobDefinition, NewBackup, NewEnrollment, NewOrganization } from './core/wishes.ts'
import type { AgentSettings } from './ports/server-settings.ts'
import type { UploadStore } from './ports/uploads.ts'

export type Tokens = {
  /** `null` for one that is unknown, revoked or expired. Notes the use, at most once a minute. */
  find(token: string): Promise<Caller | null>
}

export type Organizations = {
  me(caller: Caller): Promise<Me>
}

export type FirstStart = {
  /** Runs `work` if there is no organization yet, in one process of all at a time; else `null`. */
  exclusively<T>(work: () => Promise<T>): Promise<T | null>
  /** One transaction: the organization, a token of all scopes, a managed key, the storage. */
  add(
    wanted: NewOrganization,
  ): Promise<{ readonly token: string; readonly storage: StorageId | null }>
}

export type Reads<Row, RowId, Query> = {
  list(caller: Caller, page: PageRequest, filters: Query): Promise<Page<Row>>
  get(caller: Caller, id: RowId): Promise<Row | null>
}

export type Servers = Reads<Server, ServerId, ServerQuery> & {
  add(caller: Caller, input: ServerInput, project: ProjectId | null): Promise<Server>
  /** `project`: where it lies from now on, if that changes. `null` where there is no such server. */
  change(
    caller: Caller,
    id: ServerId,
    change: Omit<ServerChange, 'project_id'> & { readonly project?: ProjectId | null },
  ): Promise<Server | null>
  /**
   * The agent's key is worthless, and so is every enrolment token of before. `joins` is above the count of every
   * connection that it has. `null` where there is no such server.
   */
  revoke(caller: Caller, id: ServerId): Promise<{ readonly joins: number } | null>
  /** The same, and the server is gone. `RESOURCE_HAS_DEPENDENCIES` while it has jobs. */
  remove(caller: Caller, id: ServerId): Promise<{ readonly joins: number } | null>
}

/** The credentials arrive in the clear and are sealed before they are stored. */
export type Storages = Reads<Storage, StorageId, StorageQuery> & {
  /** `capabilities`: what its test found out; `null` for one that was not tested. */
  add(
    caller: Caller,
    input: StorageInput,
    capabilities: StorageCapabilities | null,
  ): Promise<Storage>
  /** `RESOURCE_HAS_DEPENDENCIES` for a move while vaults lie there; `null` where there is no such storage. */
  change(
    caller: Caller,
    id: StorageId,
    change: StorageChange,
    capabilities: StorageCapabilities | null,
  ): Promise<Storage | null>
  /** `RESOURCE_HAS_DEPENDENCIES` while jobs or vaults need it; `false` where there is none. */
  remove(caller: Caller, id: StorageId): Promise<boolean>
}

/** A managed key is made and its identity sealed here; of a customer's key only the recipient is kept. */
export type EncryptionKeys = Reads<EncryptionKey, KeyId, EncryptionKeyQuery> & {
  add(caller: Caller, input: EncryptionKeyInput): Promise<EncryptionKey>
  /**
   * The identity of a managed key; that it was shown is in the audit log before it is. `KEY_REQUIRED` for a customer's;
   * `null` where there is no such key.
   */
  export(caller: Caller, id: KeyId): Promise<ExportedKey | null>
  /** `RESOURCE_HAS_DEPENDENCIES` while jobs or vaults need it; `false` where there is none. */
  remove(caller: Caller, id: KeyId): Promise<boolean>
}

export type Jobs = Reads<Job, JobId, JobQuery> & {
  add(caller: Caller, server: ServerId, definition: JobDefinition): Promise<Job>
  /** A new version, unless nothing changes; `null` where there is no such job. */
  change(caller: Caller, id: JobId, change: Partial<JobDefinition>): Promise<Job | null>
  /** `OPERATION_IN_PROGRESS` while a backup of it is not over; `false` where there is no such job. */
  remove(caller: Caller, id: JobId): Promise<boolean>
  versions(caller: Caller, id: JobId, page: PageRequest): Promise<Page<JobVersion>>
}

export type Backups = Reads<Backup, BackupId, Partial<BackupQuery>> & {
  /** One statement: the new pending backup, or the one of the same job that is not over yet. */
  start(
    caller: Caller,
    wanted: NewBackup,
  ): Promise<{ readonly started: BackupId } | { readonly running: BackupId }>
  progress(caller: Caller, id: BackupId): Promise<Progress | null>
  /** `null` where there is no such backup. */
  change(caller: Caller, id: BackupId, change: BackupChange): Promise<Backup | null>
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
    wanted: NewEnrollment,
  ): Promise<{ readonly id: string; readonly token: string; readonly expires_at: string }>
}

// ── Agents, runs and vaults: what stands behind the connections of agents ──────────────────────────────────────────

/** Public halves, 32 bytes each: Ed25519 for records and greetings, X25519 for what is sealed to the agent. */
export type AgentKeys = { readonly signingKey: Uint8Array; readonly boxKey: Uint8Array }

export type EnrolledAgent = {
  readonly server: ServerId
  readonly joins: number
  readonly catalogEpoch: number
  readonly organization: NonNullable<Welcome['organization']>
  /** Whose vaults this agent pins. */
  readonly vaults: readonly Pick<VaultOf, 'storage' | 'key'>[]
}

export type KnownAgent = {
  readonly organization: OrgId
  /** Of its server. */
  readonly name: string
  readonly signingKey: Uint8Array
  readonly catalogEpoch: number
}

export type Agents = {
  /** One transaction: the token is used and the keys are stored, or neither, and why. */
  enroll(
    token: Uint8Array,
    newcomer: AgentKeys & { readonly facts: Facts },
  ): Promise<EnrolledAgent | { readonly refused: string }>
  /** `null` for a server that is unknown, not enrolled or revoked. */
  find(server: ServerId): Promise<KnownAgent | null>
  /** Counts a connection if `joins` is above every one before; else marks the server, and `known` is the highest. */
  join(
    server: ServerId,
    joins: number,
    facts: Facts,
  ): Promise<{ readonly joined: boolean; readonly known: number }>
  /** Notes a sign of life; `false` when a newer connection has taken over, or the server was revoked. */
  seen(server: ServerId, joins: number): Promise<boolean>
  /** What its agent is to keep to. */
  settings(server: ServerId): Promise<AgentSettings>
  /** The connection is gone: the server is offline unless a newer one exists. */
  left(server: ServerId, joins: number): Promise<void>
  /** Servers that have said nothing for `span` are offline: their replica died with them. */
  expire(span: Ms): Promise<void>
}

/** An open connection of an agent; `joins` orders the connections of one server. */
export type Link = {
  readonly server: ServerId
  readonly organization: OrgId
  readonly joins: number
  /** `false` when it is closed, or its reader is so slow that it was closed. */
  send(order: Order): boolean
  close(because: Leave, reason: string): void
}

/** The connections of this replica. */
export type AgentLinks = {
  /** Closes an older connection of the same server. */
  add(link: Link): void
  remove(link: Link): void
  get(server: ServerId): Link | null
  all(): readonly Link[]
}

/** Other replicas, and the statements that make work, are heard here. `work`: a server that has something to do. */
export type Wakeups = {
  listen(heard: {
    work(server: ServerId): void
    superseded(server: ServerId, joins: number): void
  }): Promise<AsyncDisposable>
  superseded(server: ServerId, joins: number): Promise<void>
}

export type VaultOf = {
  readonly server: ServerId
  readonly storage: StorageId
  readonly key: KeyId
}

export type Vaults = {
  /** The active vault; `null` where there is none. `stale`: another agent began it, this one cannot continue it. */
  find(
    organization: OrgId,
    of: VaultOf,
  ): Promise<{ readonly vault: PreparedVault; readonly stale: boolean } | null>
  /** Content and recovery recipients for a new one. `RESOURCE_NOT_FOUND` for parts of another organization. */
  recipients(organization: OrgId, of: VaultOf): Promise<Omit<Recipients, 'list'>>
  /** Does nothing where another caller was faster. */
  add(
    organization: OrgId,
    of: VaultOf,
    vault: { readonly id: VaultId; readonly recipients: Recipients; readonly identity: string },
  ): Promise<void>
  /** Retires a stale vault and begins another, `id`, for the same recipients, unless another caller was faster. */
  renew(organization: OrgId, stale: VaultId, id: VaultId): Promise<void>
  /** What the genesis must say, and what is stored of it. */
  genesis(vault: VaultId): Promise<{
    readonly recipients: Recipients
    readonly agentKey: Uint8Array
    readonly organizationKey: Uint8Array
    readonly known: Uint8Array | null
    /** It is known, but the storage has lost it, or the secret: both are to be written again. */
    readonly unwritten: boolean
    /** The files of the chain after the genesis. */
    readonly later: readonly { readonly key: string; readonly bytes: Uint8Array }[]
  }>
  /** `false` where another genesis is known already. */
  open(vault: VaultId, genesis: Uint8Array, key: string): Promise<boolean>
}

/** An object of a vault as it was granted. `key` is below the storage's prefix; `etag` is null until it is stored. */
export type GrantedObject = {
  readonly class: ObjectClass
  readonly no: number
  readonly key: string
  readonly size: number
  readonly sha256: string
  readonly etag: string | null
}

export type StoredObjectNote = {
  readonly object: GrantedObject
  readonly etag: string
  readonly header: Uint8Array
}

/** `above`: the highest number that the agent knows of in the vault, 0 of none. */
export type NumbersWish = { readonly count: number; readonly above: number }

export type Objects = {
  /** The first of `count` fresh numbers of the vault, or `null` where the epoch is not the current one. */
  numbers(backup: BackupId, epoch: number, wish: NumbersWish): Promise<number | null>
  /** Locks the run, lets `decide` see it with what is known of the objects, and stores the fresh ones under `keys`. */
  grant(
    ask: { readonly backup: BackupId; readonly epoch: number; readonly wanted: readonly Wanted[] },
    decide: (scope: GrantScope, asks: readonly Ask[]) => Decisions,
    keyOf: (
      vault: VaultId,
      wanted: Wanted,
      at: { readonly startedAt: Ms; readonly records: number },
    ) => string,
  ): Promise<
    readonly GrantedObject[] | { readonly refused: number; readonly problem: string } | 'lost'
  >
  /** The newest grant of each of these in the run's vault; one that was never granted is missing. */
  find(
    backup: BackupId,
    names: readonly { readonly class: ObjectClass; readonly no: number }[],
  ): Promise<readonly GrantedObject[]>
  /** Granted → stored; what is stored already stays as it is. `false` where the epoch is not the current one. */
  store(backup: BackupId, epoch: number, notes: readonly StoredObjectNote[]): Promise<boolean>
  /** Packs that the store does not have any more: nothing counts on them from now on. */
  lost(vault: VaultId, packs: readonly number[]): Promise<void>
  /** Takes the run's records, or its vault's unused signers and keys, out of the catalog, and names them. */
  forget(
    backup: BackupId,
    classes: readonly ObjectClass[],
    keep: readonly string[],
  ): Promise<readonly string[]>
}

export type Finish = Pick<
  Reports['commit.finish'],
  'counts' | 'bytes_source' | 'bytes_new' | 'bytes_stored' | 'error_count' | 'errors'
>

/** A commit as it stands before its transaction. */
export type PendingCommit = {
  readonly vaultOpened: boolean
  readonly sequence: number
  readonly pages: readonly CommitPage[]
  /** What the agent said when it finished; else its last progress. */
  readonly finish: Finish
  /** The newest stored record of the run, or else the newest granted one. */
  readonly record: GrantedObject | null
}

export type CommitOutcome =
  | { readonly done: 'committed'; readonly sequence: number; readonly gcEpoch: number }
  | { readonly done: 'missing'; readonly packs: readonly number[] }
  | { readonly done: 'lost' }

export type Commits = {
  /** Replaces the page; `false` where the epoch is not the current one. */
  stage(backup: BackupId, epoch: number, page: CommitPage): Promise<boolean>
  /** Keeps what the agent said, so that an interrupted commit can be finished without it. */
  finishing(backup: BackupId, epoch: number, finish: Finish): Promise<boolean>
  pending(backup: BackupId): Promise<PendingCommit>
  /** The packs among `packs` that no open interval of the job names, with what is stored of them. */
  added(backup: BackupId, packs: readonly number[]): Promise<readonly GrantedObject[]>
  /** The transaction that makes a backup. A run that is committed already gives its answer again. */
  commit(
    backup: BackupId,
    staged: Staged,
    how: {
      readonly finish: Finish
      readonly record: string
      readonly decide: (run: Run) => Step
      readonly plan: typeof planIntervals
    },
  ): Promise<CommitOutcome>
  /** The answer of a run that is committed. */
  outcome(backup: BackupId): Promise<CommitOutcome | null>
  /** Drops the staged pages and what the agent said, after objects were found missing. */
  discard(backup: BackupId): Promise<void>
}

/** A PUT with exactly these headers, until `expiresAt` (ms by our clock). */
export type SignedPut = {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly expiresAt: Ms
}

/** A GET that anybody may send who has the URL, until `expiresIn` seconds (at most seven days) from now. */
export type GetToSign = {
  readonly key: string
  readonly expiresIn: number
  /** The answer's Content-Disposition: signed, so nobody can change it. */
  readonly disposition?: string
}

/** A storage as the control plane uses it; keys are below its prefix. */
export type VaultStore = ReadStore &
  WriteStore &
  DeleteStore &
  UploadStore & {
    sign(put: { readonly key: string; readonly size: number; readonly sha256: string }): SignedPut
    signGet(get: GetToSign): string
  }

export type Stores = {
  /** `RESOURCE_NOT_FOUND` for a storage that is not there. */
  open(storage: StorageId): Promise<VaultStore>
}
