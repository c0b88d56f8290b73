/** Holds a run where it is: whoever is about to read or to send asks first, and waits until it is let go. */
export type Brake = {
  /** Fires when it is put on; another one once it is let go. */
  readonly on: AbortSignal
  set(on: boolean): void
  /** Resolves while it is not on; rejects with the reason of `stop`. */
  off(stop: AbortSignal): Promise<void>
}

/** What an upload that was broken off for it says; nobody is told. */
const HELD = new Error('held back')

const reasonOf = (stop: AbortSignal): Error =>
  stop.reason instanceof Error ? stop.reason : new Error('stopped', { cause: stop.reason })

export const createBrake = (): Brake => {
  let pulled = new AbortController()
  let waiting: (() => void)[] = []
  const wait = async (stop: AbortSignal): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const end = (): void => reject(reasonOf(stop))
    stop.addEventListener('abort', end, { once: true })
    waiting.push(() => resolve(undefined))
    try {
      await promise
    } finally {
      stop.removeEventListener('abort', end)
    }
  }
  return {
    get on() {
      return pulled.signal
    },
    set: (on) => {
      if (on === pulled.signal.aborted) return
      if (on) {
        pulled.abort(HELD)
        return
      }
      pulled = new AbortController()
      const woken = waiting
      waiting = []
      for (const wake of woken) wake()
    },
    off: async (stop) => {
      while (pulled.signal.aborted) {
        stop.throwIfAborted()
        await wait(stop)
      }
    },
  }
}
