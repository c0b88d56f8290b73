import { SECOND, type Ms } from '#shared/units.ts'
import type { Random } from '#shared/world.ts'

export type Backoff = { readonly first: Ms; readonly most: Ms }

/** Half a second to a minute, each spread over its upper half: a control plane that comes back is not met by all at once. */
export const RECONNECT: Backoff = { first: SECOND, most: 60 * SECOND }
export const REUPLOAD: Backoff = { first: SECOND / 2, most: 30 * SECOND }
/** After an answer that something is away. */
export const REASK: Backoff = { first: SECOND, most: 60 * SECOND }

/**
 * How long to wait before attempt `attempt` (the first repetition is 1): doubling, capped, and spread over its upper
 * half by `chance` in [0, 1), so that many agents do not come back together.
 */
export const delayOf = (backoff: Backoff, attempt: number, chance: number): Ms => {
  const full = Math.min(backoff.most, backoff.first * 2 ** Math.min(attempt - 1, 30))
  return Math.round(full * (0.5 + chance / 2))
}

/** In [0, 1). */
export const chanceFrom = (random: Random): number => (random(1)[0] ?? 0) / 256
