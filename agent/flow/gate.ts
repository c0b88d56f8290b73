/** A bounded number of permits; whoever asks for one more waits, in order. */
export type Gate = {
  readonly used: number
  /** Whether somebody could enter now. */
  readonly isFree: boolean
  enter(): Promise<void>
  /** A permit at once, even beyond the bound: for who asked `room` before. */
  take(): void
  leave(): void
  /** Resolves when fewer than all permits are used; takes none. */
  room(): Promise<void>
  /** Another bound from now on; those inside stay. */
  resize(permits: number): void
  /** Everyone who waits, and whoever comes, gets this error. */
  break(error: unknown): void
}

type Waiter = { readonly takes: boolean; resolve(): void; reject(error: unknown): void }

export const createGate = (bound: number): Gate => {
  let permits = bound
  let used = 0
  let broken: { readonly error: unknown } | null = null
  let waiters: Waiter[] = []
  const wake = (): void => {
    while (used < permits) {
      const next = waiters.shift()
      if (next === undefined) return
      if (next.takes) used += 1
      next.resolve()
    }
  }
  const wait = async (takes: boolean): Promise<void> =>
    await new Promise((resolve, reject) => {
      waiters.push({ takes, resolve, reject })
    })
  return {
    get used() {
      return used
    },
    get isFree() {
      return used < permits && waiters.length === 0
    },
    enter: async () => {
      if (broken !== null) throw broken.error
      if (used < permits && waiters.length === 0) used += 1
      else await wait(true)
    },
    take: () => {
      used += 1
    },
    leave: () => {
      used -= 1
      wake()
    },
    room: async () => {
      if (broken !== null) throw broken.error
      if (used >= permits || waiters.length > 0) await wait(false)
    },
    resize: (next) => {
      permits = next
      wake()
    },
    break: (error) => {
      broken ??= { error }
      const waiting = waiters
      waiters = []
      for (const waiter of waiting) waiter.reject(error)
    },
  }
}
