/**
 * The work of one connection: in order, except for what may take long, of which a few run beside it. An ordered task waits
 * for the ordered ones before it, never for slow ones.
 */
export type Lane = {
  add(isSlow: boolean, task: () => Promise<void>): void
}

/** `onFull` is told when more than `most` tasks wait or run, and again when there is room. Tasks must not throw. */
export const createLane = (
  mostSlow: number,
  most: number,
  onFull: (isFull: boolean) => void,
): Lane => {
  const waiting: { readonly isSlow: boolean; readonly task: () => Promise<void> }[] = []
  let slow = 0
  let isBusy = false
  let isFull = false

  const watch = (): void => {
    const now = waiting.length > most
    if (now === isFull) return
    isFull = now
    onFull(now)
  }

  const pump = (): void => {
    while (!isBusy) {
      const [next] = waiting
      if (next === undefined || (next.isSlow && slow >= mostSlow)) break
      waiting.shift()
      if (next.isSlow) slow += 1
      else isBusy = true
      void next.task().finally(() => {
        if (next.isSlow) slow -= 1
        else isBusy = false
        pump()
      })
    }
    watch()
  }

  return {
    add: (isSlow, task) => {
      waiting.push({ isSlow, task })
      pump()
    },
  }
}
