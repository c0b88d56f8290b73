/** Clock, chance and the event loop's turn. */
import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { Clock, Random } from '#shared/world.ts'
import type { Turn } from '../ports.ts'

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (span, stop) =>
    await new Promise((resolve, reject) => {
      if (stop.aborted) {
        reject(reasonOf(stop))
        return
      }
      const timer = setTimeout(() => {
        stop.removeEventListener('abort', end)
        resolve()
      }, span)
      const end = (): void => {
        clearTimeout(timer)
        reject(reasonOf(stop))
      }
      stop.addEventListener('abort', end, { once: true })
    }),
}

const reasonOf = (stop: AbortSignal): Error =>
  stop.reason instanceof Error ? stop.reason : new Error('stopped', { cause: stop.reason })

export const systemRandom: Random = (length) => randomBytes(length)

export const eventLoopTurn: Turn = async () => {
  await setImmediate()
}
