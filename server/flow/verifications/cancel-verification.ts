/** A person's wish to stop one verification: at once, for the control plane alone works on it. */
import type { Verification } from '#shared/api/verifications.ts'
import { fail } from '#shared/errors.ts'
import type { VerificationId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Verifications } from '../../ports/verifications.ts'
import { found } from '../found.ts'

/** Throws `INVALID_STATE` for one that is over. Whoever works on it has lost its claim, and notes nothing any more. */
export const cancelVerification = async (
  { verifications }: { readonly verifications: Pick<Verifications, 'get' | 'cancel'> },
  caller: Caller,
  id: string,
): Promise<Verification> =>
  found('verification', id, async (verification: VerificationId) => {
    if ((await verifications.get(caller, verification)) === null) return null
    const isEnded = await verifications.cancel(caller, verification)
    const known = await verifications.get(caller, verification)
    if (!isEnded && known !== null)
      throw fail('INVALID_STATE', {
        resource: 'The verification',
        id: verification,
        status: known.status,
      })
    return known
  })
