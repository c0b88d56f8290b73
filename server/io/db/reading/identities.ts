/** Parsed identities of the vaults that are opened from now on, kept for a while: opening them takes a statement and two ciphers. */
import type { VaultId } from '#shared/ids.ts'
import { createRecent } from '#shared/read/recent.ts'
import { MINUTE, type Ms } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { Identities, Reading, VaultIdentities } from '../../../ports/reading.ts'

/** One that is wiped counts for at most this long. */
const FRESH: Ms = MINUTE
const MOST = 64

type Kept = { readonly until: Ms; readonly identities: Promise<VaultIdentities> }

export const recentIdentities = (
  reading: Pick<Reading, 'identities'>,
  clock: Pick<Clock, 'monotonic'>,
): Identities => {
  const kept = createRecent<Kept>(MOST)
  return async (vault: VaultId) => {
    const known = kept.get(vault)
    if (known !== undefined && clock.monotonic() < known.until) return known.identities
    const identities = reading.identities(vault)
    kept.set(vault, { until: clock.monotonic() + FRESH, identities })
    // What failed is tried again.
    identities.catch(() => kept.delete(vault))
    return identities
  }
}
