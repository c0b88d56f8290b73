/** Reads of the store, tried again for as long as that makes sense; the whole restore has one patience. */
import { fail, type Failure } from '#shared/errors.ts'
import type { Whereabouts } from '#shared/read/access.ts'
import { chanceFrom, delayOf, REREAD } from '../core/backoff.ts'
import type { Patience } from '../core/patience.ts'
import type { Problem, Trouble as ReadTrouble } from '../core/restore-job.ts'
import type { ReadOnce } from '../core/restore-ports.ts'
import { isOver, type Trouble, troubleAfter } from '../core/trouble.ts'
import type { Ms } from '#shared/units.ts'
import type { World } from '../ports.ts'

export type ReadingParts = {
  readonly world: World
  readonly patience: Patience
  readonly readOnce: ReadOnce
  /** Counts the bytes that were asked for. */
  readonly fetched: (bytes: number) => void
  /** A line for the log of the restore. */
  readonly say: (text: string) => void
  /** Ends the restore: nothing can be read any more. */
  readonly giveUp: (error: unknown) => void
  readonly stop: AbortSignal
}

/** Where to read next, after an address that failed; `anew`: the same one would hardly do. */
export type Renew = (failed: Whereabouts, anew: boolean) => Promise<Whereabouts>

export type Reading = {
  /** Waits, and says where to read next; null where it is over. One read's tries in a row. */
  tries(renew: Renew): (trouble: ReadTrouble) => Promise<Whereabouts | null>
  /** Exactly these bytes. Errors as `Access` (shared/read/access.ts). */
  read(what: Place, at: Whereabouts, renew: Renew): Promise<Uint8Array>
  /** Something could be read, here or in a thread. */
  readonly wentWell: () => void
}

type Place = { readonly key: string; readonly start: number; readonly end: number }

/** A failure or two pass by themselves: the log of the run gets the third, and then each tenth. */
const TOLD_FROM = 3
const TOLD_EACH = 10

const asFailure = ({ code, details }: Problem): Failure => fail(code, details)

type State = ReadingParts & {
  /** Of all reads together: any one that goes well ends it. */
  trouble: Trouble | null
  /** Something could be read before: a store that refuses one thing now need not refuse the next. */
  isReachable: boolean
}

type Tries = { attempt: number; trouble: Trouble | null }

/** Whether nothing can be read any more, and not just this. */
const isAway = ({ trouble, isReachable, patience }: State, now: Ms): boolean =>
  trouble !== null &&
  (isReachable ? now - trouble.since >= patience.away : isOver(trouble, now, patience))

/** Whether another try makes sense, after waiting for it. */
const mayTryAgain = async (
  state: State,
  tries: Tries,
  { refused, problem }: ReadTrouble,
): Promise<boolean> => {
  const { world, patience, say, giveUp, stop } = state
  const { clock, log, random } = world
  const now = clock.monotonic()
  tries.attempt += 1
  tries.trouble = troubleAfter(tries.trouble, refused, now)
  state.trouble = troubleAfter(state.trouble, refused, now)
  const { attempt } = tries
  const failure = asFailure(problem)
  log.warn({ attempt, problem: failure.message }, 'a read failed')
  if (isAway(state, now)) giveUp(failure)
  if (stop.aborted || isOver(tries.trouble, now, patience)) return false
  if (attempt % TOLD_EACH === TOLD_FROM) say(`${failure.message} Trying again.`)
  // An address that has run out needs no rest, only another one.
  if (refused && attempt === 1) return true
  await clock.sleep(delayOf(REREAD, attempt, chanceFrom(random)), stop).catch(() => undefined)
  return !stop.aborted
}

export const createReading = (parts: ReadingParts): Reading => {
  const state: State = { ...parts, trouble: null, isReachable: false }
  const wentWell = (): void => {
    state.trouble = null
    state.isReachable = true
  }
  const { readOnce, fetched, stop } = parts
  const tries: Reading['tries'] = (renew) => {
    const own: Tries = { attempt: 0, trouble: null }
    return async (trouble) => {
      if (!(await mayTryAgain(state, own, trouble))) return null
      // What fails more than once may have moved: a newly signed address leads to where it is by now.
      return renew(trouble.at, trouble.refused || own.attempt > 1)
    }
  }
  return {
    tries,
    read: async ({ key, start, end }, first, renew) => {
      const again = tries(renew)
      let at = first
      for (;;) {
        stop.throwIfAborted()
        fetched(end - start)
        const outcome = await readOnce({ at, key }, { start, end }, stop)
        stop.throwIfAborted()
        if (outcome.done === 'read') {
          wentWell()
          return outcome.bytes
        }
        const { how, problem } = outcome
        const next =
          how === 'final' ? null : await again({ at, refused: how === 'refused', problem })
        stop.throwIfAborted()
        if (next === null) throw asFailure(problem)
        at = next
      }
    },
    wentWell,
  }
}
