/** Verifications of committed backups: their rows, which are also the claims of those who work on them. */
import type { VerificationResult } from '#shared/api/findings.ts'
import type {
  Verification,
  VerificationLevel,
  VerificationQuery,
} from '#shared/api/verifications.ts'
import type {
  BackupId,
  OpenRequestId,
  OrgId,
  StorageId,
  VaultId,
  VerificationId,
} from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { Page, PageRequest } from '../core/page.ts'
import type { CommittedBackup } from './reading.ts'
import type { Claim, Tasks } from './tasks.ts'

export type NewVerification = {
  readonly id: VerificationId
  readonly of: CommittedBackup
  readonly level: VerificationLevel
  readonly openRequest: OpenRequestId | null
}

export type VerificationProgress = Verification['progress']

/** What is kept with a claim: what is shown, and where whoever takes it up goes on. */
export type VerificationStand = {
  readonly progress: VerificationProgress
  /** Null: from the beginning. */
  readonly checkpoint: unknown
}

export type VerificationJob = {
  readonly id: VerificationId
  readonly organization: OrgId
  readonly backup: BackupId
  readonly level: VerificationLevel
  readonly openRequest: OpenRequestId | null
  /** As the last one left it who worked on it; null at first. */
  readonly checkpoint: unknown
}

export type Verifications = Tasks<VerificationJob, VerificationStand> & {
  /** `null`, or the one of the same backup and level that is not over yet. */
  add(caller: Caller, wanted: NewVerification): Promise<VerificationId | null>
  get(caller: Caller, id: VerificationId): Promise<Verification | null>
  /** Of a storage's backups; those of a project's servers for a caller who is bound to it. */
  list(
    caller: Caller,
    page: PageRequest,
    filters: VerificationQuery & { readonly storage: StorageId },
  ): Promise<Page<Verification>>
  /** One transaction: the result, also as the backup's last one of its level; `false` where the claim is lost. */
  complete(
    claim: Claim<VerificationJob>,
    result: VerificationResult,
    progress: VerificationProgress,
  ): Promise<boolean>
  /** Ends it as `canceled`, whoever works on it; `false` for one that is over, or not the caller's. */
  cancel(caller: Caller, id: VerificationId): Promise<boolean>
  /** Ends those that wait for an open request whose time is over; how many. */
  expire(): Promise<number>
  /** Asks for those that storages have planned and that are due; how many plans were looked at. */
  startDue(limit: number): Promise<number>
}

/** An object of the vault itself, as the catalog has it. */
export type OwnObject = {
  readonly class: 'record' | 'signer' | 'key'
  readonly key: string
  readonly size: number
  /** base64url */
  readonly sha256: string
  readonly etag: string | null
}

/** What the catalog knows of stored objects beside what was signed for. */
export type StoredObjects = {
  /** The record of the backup, and the signers and secrets of its vault: a few. */
  own(of: Pick<CommittedBackup, 'backup' | 'vault'>): Promise<readonly OwnObject[]>
  /** As they were confirmed, by key. */
  etags(vault: VaultId, nos: readonly number[]): Promise<ReadonlyMap<string, string>>
  /** Committed backups that need a pack, the newest first; all of the vault where `no` is null. */
  users(
    vault: VaultId,
    no: number | null,
    limit: number,
  ): Promise<{ readonly first: readonly BackupId[]; readonly total: number }>
}
