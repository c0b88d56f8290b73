/** Record, signers and secrets as they lie in the storage: the catalog has copies, but a recovery has nothing else. */
import type { VerificationResult } from '#shared/api/findings.ts'
import type { Damaged } from '../../core/verification/checkpoint.ts'
import type { StoredObjects } from '../../ports/verifications.ts'
import type { ReadBackup } from '../read-backup.ts'
import { checkObject, type Looking } from './check-object.ts'
import { findingsOf } from './object-findings.ts'

export const checkOwn = async (
  parts: { readonly storedObjects: StoredObjects },
  backup: ReadBackup,
  looking: Looking,
): Promise<Pick<VerificationResult, 'problem_count' | 'problems'>> => {
  const damaged: Damaged[] = []
  for (const one of await parts.storedObjects.own(backup.committed)) {
    const failure = await checkObject(looking, one, 'read')
    if (failure === null) continue
    const { code, message } = failure
    damaged.push({ no: null, key: one.key, code, problem: message, whole: one.class !== 'key' })
  }
  return findingsOf(parts, backup, { damaged, damaged_count: damaged.length })
}
