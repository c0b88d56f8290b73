/** Somebody shows that the recovery kit is at hand, without showing it: its signing key signs who and when. */
import type { KitConfirmation, Organization } from '#shared/api/organization.ts'
import { fail } from '#shared/errors.ts'
import { parseBase64url } from '#shared/format/bytes.ts'
import { verifySignature } from '#shared/format/keys.ts'
import { kitProof } from '#shared/format/recovery-kit.ts'
import { MINUTE } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { Caller } from '../core/caller.ts'
import type { OwnOrganization } from '../ports/organization.ts'

export type ConfirmKitParts = { readonly organization: OwnOrganization; readonly clock: Clock }

/** A signature that somebody saw is of no use later. */
const FRESH = 15 * MINUTE

export const confirmKit = async (
  { organization, clock }: ConfirmKitParts,
  caller: Caller,
  { signature, time }: KitConfirmation,
): Promise<Organization> => {
  if (Math.abs(clock.now() - time) > FRESH)
    throw fail('VALIDATION_FAILED', {
      field: 'time',
      problem: 'is more than 15 minutes away from the time of the control plane',
    })
  const key = await organization.signingKey(caller)
  const bytes = parseBase64url(signature, 64)
  const proof = kitProof(caller.organization, time)
  if (key === null || bytes === null || !verifySignature(key, proof, bytes))
    throw fail('VALIDATION_FAILED', {
      field: 'signature',
      problem: 'is not that of the recovery kit of this organization, for this time',
    })
  return organization.confirmKit(caller)
}
