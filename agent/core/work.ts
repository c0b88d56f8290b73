/** Which runs this agent has, under which epoch, and what becomes of an order for one. */
import { fail } from '#shared/errors.ts'

export type Decision =
  | { readonly do: 'start' }
  /** It is under way already: the order is the control plane's repetition. */
  | { readonly do: 'again' }
  | { readonly do: 'refuse'; readonly problem: Error }

export type Work = {
  decide(
    run: string,
    recipients: { readonly asked: string; readonly pinned: string | null },
  ): Decision
  /** Takes the run up under this epoch; the signal that ends it, the same for the same run. */
  add(run: string, epoch: number): AbortSignal
  renew(run: string, epoch: number): void
  stop(run: string, why: Error): void
  remove(run: string): void
  readonly runs: () => readonly { readonly run: string; readonly epoch: number }[]
  readonly epochOf: (run: string) => number
}

/** Runs that wait behind one another; a heartbeat lists at most a hundred. */
const MOST = 100

type Held = { epoch: number; readonly end: AbortController }

export const createWork = (): Work => {
  const held = new Map<string, Held>()
  return {
    decide: (run, { asked, pinned }) => {
      if (held.has(run)) return { do: 'again' }
      if (asked !== pinned)
        return { do: 'refuse', problem: fail('RECIPIENTS_NOT_PINNED', { fingerprint: asked }) }
      if (held.size >= MOST)
        return {
          do: 'refuse',
          problem: fail('LIMIT_EXCEEDED', { limit: MOST, what: 'waiting runs' }),
        }
      return { do: 'start' }
    },
    add: (run, epoch) => {
      const there = held.get(run)
      const entry = there ?? { epoch, end: new AbortController() }
      entry.epoch = epoch
      held.set(run, entry)
      return entry.end.signal
    },
    renew: (run, epoch) => {
      const entry = held.get(run)
      if (entry !== undefined) entry.epoch = epoch
    },
    stop: (run, why) => held.get(run)?.end.abort(why),
    remove: (run) => {
      held.delete(run)
    },
    runs: () => [...held].map(([run, { epoch }]) => ({ run, epoch })),
    epochOf: (run) => held.get(run)?.epoch ?? 0,
  }
}
