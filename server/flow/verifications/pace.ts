/** How fast verifications of this process may read, all of them together. */
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'

/** Waits until so many bytes may be read. */
export type Pace = (bytes: number, stop: AbortSignal) => Promise<void>

/** `rate`: bytes a second; null: as fast as it goes. Each read waits for those before it. */
export const createPace = (clock: Clock, rate: number | null): Pace => {
  if (rate === null) return async () => Promise.resolve()
  let free: Ms = clock.monotonic()
  return async (bytes, stop) => {
    const now = clock.monotonic()
    const begin = Math.max(now, free)
    free = begin + (bytes / rate) * SECOND
    if (begin > now) await clock.sleep(begin - now, stop)
  }
}
