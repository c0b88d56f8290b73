/** What readiness looks at. */
import type { StorageId } from '#shared/ids.ts'
import type { ObjectKey } from '#shared/store.ts'

export type UsedStorage = { readonly storage: StorageId; readonly key: ObjectKey }

export type UsedStorages = {
  /** Storages of the latest backups, at most `limit`, each with an object that is there as long as its vault. */
  latest(limit: number): Promise<readonly UsedStorage[]>
}
