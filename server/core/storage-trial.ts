/** What a trial of a storage comes to. Pure. */
import type { StorageStep } from '#shared/api/storages.ts'
import { fail } from '#shared/errors.ts'

/** A problem in the words of the store begins with the status of its answer. */
const statusIn = (problem: string | null): { readonly status?: number } => {
  const status = /^[45]\d\d(?= )/.exec(problem ?? '')?.[0]
  return status === undefined ? {} : { status: Number(status) }
}

/** Throws `STORAGE_UNAVAILABLE` naming the first step that failed, why, and what to do. */
export const refuseFailed = (name: string, steps: readonly StorageStep[]): void => {
  const failed = steps.find(({ status }) => status === 'failed')
  if (failed !== undefined)
    throw fail('STORAGE_UNAVAILABLE', {
      storage: name,
      verb: failed.step,
      problem: failed.problem ?? 'unknown',
      advice: failed.advice,
      ...statusIn(failed.problem),
    })
}
