/** Writing objects whose size is known only at their end: part by part, and nothing is there before the last step. */
import type { ObjectKey } from '#shared/store.ts'

export type Upload = {
  /** Numbers rise from 1; all parts but the last have the same size, of at least 5 MiB (the least that stores take). */
  part(no: number, bytes: Uint8Array, stop: AbortSignal): Promise<void>
  /** The object is there, as all parts in order. */
  complete(stop: AbortSignal): Promise<void>
  /** Nothing of it stays. What the store did not do now, `abortUploads` finds later. */
  abort(stop: AbortSignal): Promise<void>
}

export type UploadStore = {
  /** The key is fresh: nothing is written under it but this. */
  upload(key: ObjectKey, stop: AbortSignal): Promise<Upload>
  /** Ends every upload under this very key that was begun and not completed, whoever began it. */
  abortUploads(key: ObjectKey, stop: AbortSignal): Promise<void>
}
