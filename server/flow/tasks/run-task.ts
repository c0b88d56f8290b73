/** One claimed task from its beginning to its end: the claim is renewed while it works, and what fails is tried again. */
import { type Backoff, chanceFrom, delayOf } from '#shared/backoff.ts'
import { Failure, fail, problemOf } from '#shared/errors.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Log, Random } from '#shared/world.ts'
import type { Claim, Tasks } from '../../ports/tasks.ts'

export type TaskWorld = { readonly clock: Clock; readonly random: Random; readonly log: Log }

/** A task whose replica is gone is taken up by another after this long. */
export const LEASE: Ms = 30 * SECOND
const BEAT: Ms = 2 * SECOND
const AGAIN: Backoff = { first: 5 * SECOND, most: 120 * SECOND }
/** Also of tasks whose replica died: one that kills whoever works on it ends. */
export const MOST_ATTEMPTS = 5

export type Work<Job, Progress> = (
  claim: Claim<Job>,
  how: { readonly stop: AbortSignal; report(progress: Progress): void },
) => Promise<void>

type Beating<Progress> = { latest: Progress | null; readonly ended: AbortSignal }

/** Renews until `ended`; loses the claim when it is somebody else's, or was not renewed for as long as it lasts. */
const beat = async <Job, Progress>(
  [tasks, world]: readonly [Tasks<Job, Progress>, TaskWorld],
  claim: Claim<Job>,
  [beating, lose]: readonly [Beating<Progress>, (why: Failure) => void],
): Promise<void> => {
  const { clock } = world
  const lost = (): void => lose(fail('LEASE_LOST', { run: 'of this task' }))
  let renewed = clock.monotonic()
  const isOver = (): boolean => beating.ended.aborted
  while (!isOver()) {
    await clock.sleep(BEAT, beating.ended).catch(() => undefined)
    if (isOver()) return
    try {
      if (!(await tasks.renew(claim, beating.latest, LEASE))) {
        lost()
        return
      }
      renewed = clock.monotonic()
    } catch (error) {
      world.log.warn({ problem: problemOf(error) }, 'a task could not renew its claim')
      if (clock.monotonic() - renewed <= LEASE - BEAT) continue
      lost()
      return
    }
  }
}

/** What another attempt can help with. */
const isTransient = ({ code }: Failure): boolean =>
  code === 'STORAGE_UNAVAILABLE' || code === 'DATABASE_UNAVAILABLE' || code === 'INTERNAL'

const settle = async <Job, Progress>(
  [tasks, { random, log }]: readonly [Tasks<Job, Progress>, TaskWorld],
  claim: Claim<Job>,
  error: unknown,
): Promise<void> => {
  const failure = error instanceof Failure ? error : fail('INTERNAL', {}, { cause: error })
  if (failure.code === 'LEASE_LOST') return
  if (failure.code === 'INTERNAL')
    log.error({ cause: error instanceof Error ? error.stack : String(error) }, 'a task failed')
  const again = isTransient(failure) && claim.attempt < MOST_ATTEMPTS
  if (again) await tasks.release(claim, failure, delayOf(AGAIN, claim.attempt, chanceFrom(random)))
  else await tasks.fail(claim, failure)
}

/** Never throws. `stop`: this replica ends; the task is given back, and goes on elsewhere at once. */
export const runTask = async <Job, Progress>(
  [tasks, world]: readonly [Tasks<Job, Progress>, TaskWorld],
  claim: Claim<Job>,
  [work, stop]: readonly [Work<Job, Progress>, AbortSignal],
): Promise<void> => {
  const lost = new AbortController()
  const ended = new AbortController()
  const beating: Beating<Progress> = { latest: null, ended: ended.signal }
  const signal = AbortSignal.any([stop, lost.signal])
  const lose = (why: Failure): void => lost.abort(why)
  const beats = beat([tasks, world], claim, [beating, lose])
  try {
    if (claim.attempt > MOST_ATTEMPTS) throw fail('TASK_ABANDONED', { attempts: MOST_ATTEMPTS })
    await work(claim, {
      stop: signal,
      report: (progress) => {
        beating.latest = progress
      },
    })
  } catch (error) {
    await handOver([tasks, world], claim, { error, stopped: stop.aborted, lost: lost.signal })
  } finally {
    ended.abort()
    await beats
  }
}

type How = { readonly error: unknown; readonly stopped: boolean; readonly lost: AbortSignal }

const handOver = async <Job, Progress>(
  [tasks, world]: readonly [Tasks<Job, Progress>, TaskWorld],
  claim: Claim<Job>,
  { error, stopped, lost }: How,
): Promise<void> => {
  if (lost.aborted) return
  try {
    if (stopped) await tasks.release(claim, null, 0)
    else await settle([tasks, world], claim, error)
  } catch (problem) {
    // The claim runs out, and somebody else takes the task up.
    world.log.warn({ problem: problemOf(problem) }, 'a task could not note its end')
  }
}
