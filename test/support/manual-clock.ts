/** A clock that stands still until the test moves it. */
import type { Ms } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'

export type ManualClock = Clock & {
  /** Moves on; whoever sleeps wakes in order, and does what it does before the next one wakes. */
  advance(span: Ms): Promise<void>
}

type Sleeper = { readonly until: Ms; wake(): void }

/** Lets everything go on that waits for nothing but its turn. */
export const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1)
    await new Promise<void>((resolve) => {
      setImmediate(resolve)
    })
}

export const manualClock = (start: Ms = 1_700_000_000_000): ManualClock => {
  let at = start
  const sleepers = new Set<Sleeper>()
  const earliest = (until: Ms): Sleeper | undefined =>
    [...sleepers].filter((one) => one.until <= until).sort((a, b) => a.until - b.until)[0]
  return {
    now: () => at,
    monotonic: () => at - start,
    sleep: async (span, stop) => {
      stop.throwIfAborted()
      const { promise, resolve } = Promise.withResolvers<undefined>()
      const sleeper = { until: at + span, wake: () => resolve(undefined) }
      sleepers.add(sleeper)
      stop.addEventListener('abort', sleeper.wake, { once: true })
      await promise
      sleepers.delete(sleeper)
      stop.removeEventListener('abort', sleeper.wake)
      stop.throwIfAborted()
    },
    advance: async (span) => {
      const target = at + span
      await settled()
      for (let next = earliest(target); next !== undefined; next = earliest(target)) {
        at = next.until
        sleepers.delete(next)
        next.wake()
        await settled()
      }
      at = target
    },
  }
}
