/** Trying out a storage by using it as backups and restores will. */
import type { StorageCapabilities, StorageInput, StorageReport } from '#shared/api/storages.ts'
import type { StorageId } from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'

/** Where it is and how it is reached. */
export type StorageAccess = Pick<
  StorageInput,
  | 'name'
  | 'endpoint'
  | 'region'
  | 'bucket'
  | 'prefix'
  | 'path_style'
  | 'access_key_id'
  | 'secret_access_key'
>

/** `capabilities` are known when every step that tells of them was taken. */
export type StorageTrial = Pick<StorageReport, 'ok' | 'steps'> & {
  readonly capabilities: StorageCapabilities | null
}

export type StorageTests = {
  /** Leaves nothing behind, and ends within `span`: what did not answer by then has failed. Never throws for the store's faults. */
  ofNew(access: StorageAccess, span: Ms): Promise<StorageTrial>
  /** The same with what is stored, or with `change` in its place; what was found is remembered if nothing was changed and nothing failed. */
  ofStored(storage: StorageId, change: Partial<StorageAccess>, span: Ms): Promise<StorageTrial>
}
