/** Waiting for news, or for a while: what makes a loop prompt that would otherwise only poll. */
import type { Ms } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'

export type Bell = {
  ring(): void
  /** Until it rings, has rung since the last time, `span` is over, or `stop` fires. Never throws. */
  heard(span: Ms, stop: AbortSignal): Promise<'rung' | 'quiet'>
}

export const createBell = (clock: Clock): Bell => {
  let rung = Promise.withResolvers<'rung'>()
  return {
    ring: () => rung.resolve('rung'),
    heard: async (span, stop) => {
      const nap = new AbortController()
      const end = AbortSignal.any([stop, nap.signal])
      const quiet = clock.sleep(span, end).then(
        () => 'quiet' as const,
        () => 'quiet' as const,
      )
      const result = await Promise.race([rung.promise, quiet])
      nap.abort()
      if (result === 'rung') rung = Promise.withResolvers<'rung'>()
      return result
    },
  }
}
