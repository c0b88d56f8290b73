import type { Backoff } from '#shared/backoff.ts'
import { SECOND } from '#shared/units.ts'

export { type Backoff, chanceFrom, delayOf } from '#shared/backoff.ts'

/** Half a second to a minute, each spread over its upper half: a control plane that comes back is not met by all at once. */
export const RECONNECT: Backoff = { first: SECOND, most: 60 * SECOND }
export const REUPLOAD: Backoff = { first: SECOND / 2, most: 30 * SECOND }
/** After an answer that something is away. */
export const REASK: Backoff = { first: SECOND, most: 60 * SECOND }
/** After a read of the store that failed. */
export const REREAD: Backoff = { first: SECOND / 2, most: 30 * SECOND }
