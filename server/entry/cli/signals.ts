/** Ctrl-C and the like: the first asks for an orderly end, the second ends at once. */
import { EXIT } from './exit-codes.ts'

/** The reason of an end that a person asked for. */
export const INTERRUPTED = new Error('stopped by a signal')

/** Until disposed. */
export const onSignals = (end: AbortController, say: (text: string) => void): Disposable => {
  let asked = false
  const onSignal = (): void => {
    if (asked) process.exit(EXIT.interrupted)
    asked = true
    say('Stopping; press Ctrl-C again to stop at once.')
    end.abort(INTERRUPTED)
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, onSignal)
  return {
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, onSignal)
    },
  }
}

/** Returns when a person asked for the end; throws the reason of any other. */
export const untilInterrupted = async (stop: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const settle = (): void => {
      if (stop.reason === INTERRUPTED) resolve()
      else reject(stop.reason as Error)
    }
    if (stop.aborted) settle()
    else stop.addEventListener('abort', settle, { once: true })
  })
