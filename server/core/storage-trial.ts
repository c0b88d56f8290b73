/** What a trial of a storage comes to. Pure. */
import type { StorageStep } from '#shared/api/storages.ts'
import { fail } from '#shared/errors.ts'

/** Throws `STORAGE_UNAVAILABLE` naming the first step that failed, why, and what to do. */
export const refuseFailed = (name: string, steps: readonly StorageStep[]): void => {
  const failed = steps.find(({ status }) => status === 'failed')
  if (failed !== undefined)
    throw fail('STORAGE_UNAVAILABLE', {
      storage: name,
      verb: failed.step,
      problem: failed.problem ?? 'unknown',
      advice: failed.advice,
    })
}
