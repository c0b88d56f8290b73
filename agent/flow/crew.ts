/** The owner of everything that runs beside the main line of a run: the first failure stops all of it. */
export type Crew = {
  /** Fires with the first failure, or with what stops the run from outside. */
  readonly stop: AbortSignal
  run(work: () => Promise<void>): void
  /** Waits until nothing runs any more; throws what went wrong. */
  settle(): Promise<void>
  /** Stops what runs and waits for its end; never throws. */
  disband(reason: unknown): Promise<void>
}

export const createCrew = (outside: AbortSignal): Crew => {
  const failed = new AbortController()
  const stop = AbortSignal.any([outside, failed.signal])
  const running = new Set<Promise<void>>()
  const finish = async (): Promise<void> => {
    while (running.size > 0) await Promise.all(running)
  }
  return {
    stop,
    run: (work) => {
      const promise: Promise<void> = work()
        .catch((error: unknown) => failed.abort(error))
        .finally(() => running.delete(promise))
      running.add(promise)
    },
    settle: async () => {
      await finish()
      stop.throwIfAborted()
    },
    disband: async (reason) => {
      failed.abort(reason)
      await finish()
    },
  }
}
