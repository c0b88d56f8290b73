/** How long to wait before something is tried again. */
import type { Ms } from './units.ts'
import type { Random } from './world.ts'

export type Backoff = { readonly first: Ms; readonly most: Ms }

/**
 * How long to wait before attempt `attempt` (the first repetition is 1): doubling, capped, and spread over its upper
 * half by `chance` in [0, 1), so that many that wait do not come back together.
 */
export const delayOf = (backoff: Backoff, attempt: number, chance: number): Ms => {
  const full = Math.min(backoff.most, backoff.first * 2 ** Math.min(attempt - 1, 30))
  return Math.round(full * (0.5 + chance / 2))
}

/** In [0, 1). */
export const chanceFrom = (random: Random): number => (random(1)[0] ?? 0) / 256
