import type { Ms } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'

// A timer cannot be set for longer; longer spans are slept in parts.
const LONGEST: Ms = 2 ** 31 - 1

const nap = async (span: Ms, stop: AbortSignal): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const wake = (): void => resolve(undefined)
  const timer = setTimeout(wake, span)
  stop.addEventListener('abort', wake, { once: true })
  await promise
  clearTimeout(timer)
  stop.removeEventListener('abort', wake)
  stop.throwIfAborted()
}

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (span, stop) => {
    stop.throwIfAborted()
    for (let left = span; left > 0; left -= LONGEST) await nap(Math.min(left, LONGEST), stop)
  },
}
