/** URLs that agents and people get objects by. */
import { HOUR, MINUTE, type Ms, SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { VaultStore } from '../ports.ts'

/** Who is slower asks again; who steals a URL has ciphertext, for so long. */
const URL_LIFE: Ms = HOUR
/** What the receiver is told: its clock may differ, and a GET takes its time. */
const MARGIN: Ms = MINUTE

/** `expires_at` is by our clock; the signature is by that of the store. */
export const signedGet = (
  { clock }: { readonly clock: Clock },
  store: VaultStore,
  key: string,
): { readonly url: string; readonly expires_at: Ms } => ({
  url: store.signGet({ key, expiresIn: URL_LIFE / SECOND }),
  expires_at: clock.now() + URL_LIFE - MARGIN,
})
