/** Verifications of committed backups: their rows, which are also the claims of those who work on them. */
import type { VerificationResult } from '#shared/api/findings.ts'
import type { Verification } from '#shared/api/verifications.ts'
import type { BackupId, OpenRequestId, OrgId, VerificationId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { CommittedBackup } from './reading.ts'
import type { Claim, Tasks } from './tasks.ts'

export type NewVerification = {
  readonly id: VerificationId
  readonly of: CommittedBackup
  readonly level: 'restore'
  readonly openRequest: OpenRequestId | null
}

export type VerificationProgress = Verification['progress']

export type VerificationJob = {
  readonly id: VerificationId
  readonly organization: OrgId
  readonly backup: BackupId
  readonly openRequest: OpenRequestId | null
}

export type Verifications = Tasks<VerificationJob, VerificationProgress> & {
  /** `null`, or the one of the same backup and level that is not over yet. */
  add(caller: Caller, wanted: NewVerification): Promise<VerificationId | null>
  get(caller: Caller, id: VerificationId): Promise<Verification | null>
  /** One transaction: the result, also as the backup's last one of its level; `false` where the claim is lost. */
  complete(
    claim: Claim<VerificationJob>,
    result: VerificationResult,
    progress: VerificationProgress,
  ): Promise<boolean>
  /** Ends those that wait for an open request whose time is over; how many. */
  expire(): Promise<number>
}
