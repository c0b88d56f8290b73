/** What of a vault is looked at in its storage before a run builds upon it, and what becomes of what is not there. */
import type { BackupId, JobId, VaultId } from '#shared/ids.ts'
import type { GrantedObject } from '../ports.ts'

export type Sample = {
  /** Of the newest committed backup of the job; null where there is none, or it is known to be missing. */
  readonly record: { readonly backup: BackupId; readonly object: GrantedObject } | null
  /** Signers and secrets: a few. */
  readonly own: readonly GrantedObject[]
  /** Packs that this backup uses, one near each of the points that were asked for. */
  readonly packs: readonly GrantedObject[]
}

export type StoredPack = GrantedObject & { readonly lost: boolean }

export type SpotChecks = {
  /** `points`: numbers from 0 up to 1, that say where among the packs in use to look. */
  sample(vault: VaultId, job: JobId, points: readonly number[]): Promise<Sample>
  /** Packs that are stored, condemned or lost, by rising number. */
  packs(vault: VaultId, after: number, limit: number): Promise<readonly StoredPack[]>
  /** Lost packs whose objects are there again. */
  found(vault: VaultId, packs: readonly number[]): Promise<void>
  /** Signers or secrets are missing: nothing is committed in the vault until its agent has written them again. */
  unwritten(vault: VaultId): Promise<void>
  recordLost(backup: BackupId): Promise<void>
  /** Asks for a verification of each kept backup that a lost pack or record belongs to, the newest first; how many. */
  verifyAffected(vault: VaultId): Promise<number>
}
