/** Prepared objects leave the storage when their time is over, when they failed, and when somebody says so. */
import { problemOf } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import type { Stores, VaultStore } from '../../ports.ts'
import type { Downloads, Leaving } from '../../ports/downloads.ts'

export type RemoveParts = {
  readonly downloads: Pick<Downloads, 'leaving' | 'left' | 'stays' | 'forget'>
  readonly stores: Stores
  readonly log: Log
}

const AT_ONCE = 20

/** What was written, and what somebody has begun to write. */
const removeObjects = async (
  store: Pick<VaultStore, 'remove' | 'abortUploads'>,
  keys: readonly string[],
  stop: AbortSignal,
): Promise<void> => {
  for (const key of keys) await store.abortUploads(key, stop)
  if (keys.length > 0) await store.remove(keys, stop)
}

/** Whatever the storage does not do is tried again later. */
export const removeDownload = async (
  { downloads, stores, log }: RemoveParts,
  { id, storage, keys }: Leaving,
  stop: AbortSignal,
): Promise<void> => {
  try {
    await removeObjects(await stores.open(storage), keys, stop)
  } catch (error) {
    log.warn({ download: id, problem: problemOf(error) }, 'the objects of a download stay')
    await downloads.stays(id)
    return
  }
  await downloads.left(id)
}

/** How many left; 0 when there is nothing to do now. */
export const removeDownloads = async (parts: RemoveParts, stop: AbortSignal): Promise<number> => {
  const leaving = await parts.downloads.leaving(AT_ONCE)
  for (const one of leaving) {
    if (stop.aborted) return 0
    await removeDownload(parts, one, stop)
  }
  if (leaving.length === 0) await parts.downloads.forget()
  return leaving.length
}
