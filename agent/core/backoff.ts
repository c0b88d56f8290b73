import { SECOND, type Ms } from '#shared/units.ts'

export type Backoff = { readonly first: Ms; readonly most: Ms }

export const RECONNECT: Backoff = { first: SECOND / 2, most: 60 * SECOND }
export const REUPLOAD: Backoff = { first: SECOND / 2, most: 30 * SECOND }

/**
 * How long to wait before attempt `attempt` (the first repetition is 1): doubling, capped, and spread over its upper
 * half by `chance` in [0, 1), so that many agents do not come back together.
 */
export const delayOf = (backoff: Backoff, attempt: number, chance: number): Ms => {
  const full = Math.min(backoff.most, backoff.first * 2 ** Math.min(attempt - 1, 30))
  return Math.round(full * (0.5 + chance / 2))
}
