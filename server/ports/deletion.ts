/** Backups that are removed, and what nothing in a vault needs any more. shared/decisions/0012-deletion-behind-one-gate.md. */
import type { Backup } from '#shared/api/backups.ts'
import type { GcReport } from '#shared/api/gc.ts'
import type { BackupId, StorageId, VaultId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { packsToRetire } from '../core/deletion.ts'
import type { Claim, Tasks } from './tasks.ts'

export type Deletion = {
  /**
   * Marks the backup: from now on nobody sees it. `null` where there is no such backup. `OPERATION_IN_PROGRESS` while it runs,
   * `CONFLICT` when it is pinned, `RESOURCE_HAS_DEPENDENCIES` while a restore, a download or a verification reads it.
   */
  remove(caller: Caller, id: BackupId): Promise<true | null>
  /** Takes the mark away, and brings back what was condemned since. `GONE` when the grace period is over. */
  restore(caller: Caller, id: BackupId): Promise<Backup | null>
  /** Has the vaults of a storage collected as soon as may be; `false` where there is no such storage. */
  ask(caller: Caller, storage: StorageId): Promise<boolean>
  /** What a collection would do now, and what it last did; `null` where there is no such storage. */
  report(caller: Caller, storage: StorageId): Promise<GcReport | null>
}

export type CollectionJob = {
  /** The vault's. */
  readonly id: VaultId
  readonly storage: StorageId
  /** It is time to compare the bucket's names with the rows. */
  readonly isListingDue: boolean
}

/** Of one collection; `bytes` are those of the objects that were deleted. */
export type Collected = {
  readonly purged: number
  readonly condemned: number
  readonly retired: number
  readonly revived: number
  readonly deleted: number
  readonly bytes: number
  readonly removed: number
}

export type Swept = { readonly deleted: number; readonly bytes: number }

/** Each step is one transaction of bounded length, decided anew under the gate: repeated, or done by two at once, it does no harm. */
export type Collections = Tasks<CollectionJob, Collected> & {
  /** Marked backups whose grace period is over lose their record and their intervals. How many; 0 = all done. */
  purge(vault: VaultId): Promise<Swept & { readonly purged: number }>
  /** Objects of runs that ended long ago and that nothing names: packs never confirmed, records, first objects of no vault. */
  sweep(vault: VaultId): Promise<Swept>
  /** Looks at a range of packs above `after`; `next` is where to go on, null at the end. */
  condemn(
    vault: VaultId,
    after: number,
  ): Promise<{ readonly condemned: number; readonly next: number | null }>
  retire(vault: VaultId, choose: typeof packsToRetire): Promise<number>
  /** Condemned packs whose time has come, in a range as above: deleted, or stored again where they are needed after all. */
  remove(
    vault: VaultId,
    after: number,
  ): Promise<Swept & { readonly revived: number; readonly next: number | null }>
  /** What the store is to remove, and that it did. */
  removals(vault: VaultId, limit: number): Promise<readonly string[]>
  removed(vault: VaultId, keys: readonly string[]): Promise<void>
  /** Those of the keys that no row knows. */
  unknown(vault: VaultId, keys: readonly string[]): Promise<readonly string[]>
  /** `keys`: the first ones. */
  listed(vault: VaultId, count: number, keys: readonly string[]): Promise<void>
  /** The end of a collection; another one comes by itself. */
  done(claim: Claim<CollectionJob>, collected: Collected): Promise<boolean>
}
