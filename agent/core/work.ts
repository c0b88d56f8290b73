/** Which runs this agent has, under which epoch, and what becomes of an order for one. */
import { fail } from '#shared/errors.ts'
import { type Brake, createBrake } from './brake.ts'

export type Decision =
  | { readonly do: 'start' }
  /** It is under way already: the order is the control plane's repetition. */
  | { readonly do: 'again' }
  | { readonly do: 'refuse'; readonly problem: Error }

/** When to end a run, when not even its end can be said any more, and when it is to wait where it is. */
export type Signals = {
  readonly stop: AbortSignal
  readonly gone: AbortSignal
  readonly brake: Brake
}

export type Work = {
  /** `objection`: why this agent does not do it at all; asked only of what is new. */
  decide(run: string, objection: () => Error | null): Decision
  /** Takes the run up under this epoch; the same signals for the same run. */
  add(run: string, epoch: number): Signals
  renew(run: string, epoch: number): void
  stop(run: string, why: Error): void
  /** It waits where it is, or goes on. */
  hold(run: string, paused: boolean): void
  /** It is somebody else's now: it stops, and says nothing more. */
  lose(run: string, why: Error): void
  remove(run: string): void
  readonly runs: () => readonly { readonly run: string; readonly epoch: number }[]
  readonly epochOf: (run: string) => number
}

/** Runs of all kinds that wait behind one another; a heartbeat lists at most a hundred. */
const MOST = 100

type Held = {
  epoch: number
  readonly end: AbortController
  readonly gone: AbortController
  readonly brake: Brake
}

const newHeld = (epoch: number): Held => ({
  epoch,
  end: new AbortController(),
  gone: new AbortController(),
  brake: createBrake(),
})

const signalsOf = ({ end, gone, brake }: Held): Signals => ({
  stop: end.signal,
  gone: gone.signal,
  brake,
})

export const createWork = (): Work => {
  const held = new Map<string, Held>()
  return {
    decide: (run, objection) => {
      if (held.has(run)) return { do: 'again' }
      const problem = objection()
      if (problem !== null) return { do: 'refuse', problem }
      if (held.size >= MOST)
        return {
          do: 'refuse',
          problem: fail('LIMIT_EXCEEDED', { limit: MOST, what: 'waiting runs' }),
        }
      return { do: 'start' }
    },
    add: (run, epoch) => {
      const entry = held.get(run) ?? newHeld(epoch)
      entry.epoch = epoch
      held.set(run, entry)
      return signalsOf(entry)
    },
    renew: (run, epoch) => {
      const entry = held.get(run)
      if (entry !== undefined) entry.epoch = epoch
    },
    stop: (run, why) => held.get(run)?.end.abort(why),
    hold: (run, paused) => held.get(run)?.brake.set(paused),
    lose: (run, why) => {
      const entry = held.get(run)
      entry?.end.abort(why)
      entry?.gone.abort(why)
    },
    remove: (run) => {
      held.delete(run)
    },
    runs: () => [...held].map(([run, { epoch }]) => ({ run, epoch })),
    epochOf: (run) => held.get(run)?.epoch ?? 0,
  }
}
