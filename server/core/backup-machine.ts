/**
 * The states of a run (a backup or a restore from its creation to its end), and the only author of them.
 *
 *   pending ──dispatched──▶ running ──finished──▶ completed | partial
 *      │                    │  ▲ │
 *      │        lease over  ▼  │ │ presented: the same run under a new epoch
 *      │               (detached)│
 *      ├──cancel──▶ canceled ◀───┴──▶ failed
 *      └──unopened──▶ failed
 *
 * One that waits or runs can be *paused*, and goes on when it is resumed: it keeps its place, its lease and what it holds.
 * A pause does not count against the deadline, which stands still; it has an end of its own, so that nothing is held for ever.
 *
 * A lease names the connection (`link`, the agent's join counter: each connection has a higher one) that holds the run.
 * When it runs out the run is *detached*: it may still be worked on, so it keeps its place. Only the agent's word, or
 * the deadline, ends it without a result (ARCHITECTURE.md, "The data path of a backup", 2). Final states are final.
 */
import { type Details, describe, type ErrorCode } from '#shared/errors.ts'
import type { BackupId, RestoreId } from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'

/** Which run: both kinds go through the same states, are leased and listed in heartbeats in the same way. */
export type RunRef =
  | { readonly kind: 'backup'; readonly id: BackupId }
  | { readonly kind: 'restore'; readonly id: RestoreId }

export const backupRun = (id: BackupId): RunRef => ({ kind: 'backup', id })
export const restoreRun = (id: RestoreId): RunRef => ({ kind: 'restore', id })

export type Problem = {
  readonly code: string
  readonly message: string
  readonly details?: Details
}

export type Lease = { readonly link: number; readonly until: Ms }

/** `left`: from `since` to the deadline of then; `null` where the run had not begun. */
export type Pause = { readonly since: Ms; readonly left: Ms | null }

export type Run =
  | { readonly at: 'pending'; readonly epoch: number; readonly paused: Pause | null }
  | {
      readonly at: 'running'
      readonly epoch: number
      /** `null` = detached. */
      readonly lease: Lease | null
      /** The agent has said that it works on it (or has presented it). */
      readonly accepted: boolean
      readonly cancelAsked: boolean
      readonly paused: Pause | null
      /** Of a paused run: when the pause is over at the latest. */
      readonly deadline: Ms
    }
  | { readonly at: 'completed' | 'partial'; readonly epoch: number }
  | { readonly at: 'failed' | 'canceled'; readonly epoch: number; readonly problem: Problem }

export type Running = Extract<Run, { at: 'running' }>
type Waiting = Extract<Run, { at: 'pending' }>

export type RunEvent =
  /** The run is offered on `link`. `deadline` counts on the first offer only. */
  | { readonly kind: 'dispatched'; readonly lease: Lease; readonly deadline: Ms }
  | { readonly kind: 'accepted'; readonly epoch: number }
  | { readonly kind: 'refused'; readonly epoch: number; readonly problem: Problem }
  /** A heartbeat on `lease.link` lists the run, or does not. */
  | { readonly kind: 'presented'; readonly lease: Lease }
  | { readonly kind: 'absent'; readonly link: number }
  | { readonly kind: 'tick'; readonly now: Ms }
  | { readonly kind: 'cancel'; readonly problem: Problem; readonly now: Ms }
  /** `until`: a run that is paused for longer fails. */
  | { readonly kind: 'pause'; readonly now: Ms; readonly until: Ms }
  | { readonly kind: 'resume'; readonly now: Ms }
  | {
      readonly kind: 'ended'
      readonly epoch: number
      readonly status: 'failed' | 'canceled'
      readonly problem: Problem
    }
  /** A backup is committed; a restore is done, as its agent says. */
  | {
      readonly kind: 'finished'
      readonly epoch: number
      readonly status: 'completed' | 'partial'
    }
  /** It will never get the key that it waits for. */
  | { readonly kind: 'unopened'; readonly problem: Problem }

/**
 * `changed`: store the new state. `same`: the event holds and changes nothing. `lost`: whoever sent it no longer holds
 * the run (LEASE_LOST), nothing changes. `not-now`: the event does not apply to this state.
 */
export type Verdict = 'changed' | 'same' | 'lost' | 'not-now'
export type Step = readonly [Run, Verdict]

export const isFinal = (run: Run): boolean => run.at !== 'pending' && run.at !== 'running'

/** Whether a message sent under `epoch` may act on the run. */
export const holds = (run: Run, epoch: number): run is Running =>
  run.at === 'running' && run.epoch === epoch

const problem = (code: ErrorCode, details: Details): Problem => ({
  code,
  message: describe(code, details),
})

const GONE = problem('RUN_LOST', {})
const LATE = problem('RUN_TOO_LONG', {})
const FORGOTTEN = problem('PAUSED_TOO_LONG', {})
const CANCELED = problem('CANCELED', {})

const offered = (run: Run, lease: Lease, deadline: Ms): Step => {
  if ((run.at !== 'pending' && run.at !== 'running') || run.paused !== null) return [run, 'not-now']
  if (run.at === 'pending') {
    const begun = { lease, accepted: false, cancelAsked: false, paused: null, deadline }
    return [{ at: 'running', epoch: run.epoch + 1, ...begun }, 'changed']
  }
  // An offer that never arrived is made again, under a new epoch, on the next connection.
  const unheard = !run.accepted && (run.lease === null || run.lease.link < lease.link)
  return unheard ? [{ ...run, epoch: run.epoch + 1, lease }, 'changed'] : [run, 'not-now']
}

const presented = (run: Running, lease: Lease): Step => {
  if (run.lease !== null && run.lease.link > lease.link) return [run, 'lost']
  const epoch = run.lease?.link === lease.link ? run.epoch : run.epoch + 1
  return [{ ...run, epoch, lease, accepted: true }, 'changed']
}

/**
 * The agent does not have the run. Reports of one connection arrive in order, so once a run was accepted its absence
 * means that it is gone. Before that the offer may not have been made (the database went away): it is to be made again.
 * Where it was only still on its way, the agent hears it twice, which is nobody's harm. A paused run outlives its agent: it
 * is offered anew when it is resumed.
 */
const absent = (run: Running, link: number): Step => {
  if (run.lease !== null && run.lease.link > link) return [run, 'lost']
  if (!run.accepted || run.paused !== null) {
    const isKnown = !run.accepted && run.lease === null
    return isKnown ? [run, 'same'] : [{ ...run, lease: null, accepted: false }, 'changed']
  }
  return run.cancelAsked
    ? [{ at: 'canceled', epoch: run.epoch, problem: CANCELED }, 'changed']
    : [{ at: 'failed', epoch: run.epoch, problem: GONE }, 'changed']
}

const tick = (run: Running, now: Ms): Step => {
  if (now >= run.deadline) {
    const over = run.paused === null ? LATE : FORGOTTEN
    return [{ at: 'failed', epoch: run.epoch, problem: over }, 'changed']
  }
  if (run.lease !== null && now >= run.lease.until) return [{ ...run, lease: null }, 'changed']
  return [run, 'same']
}

const paused = (run: Running, now: Ms, until: Ms): Step => {
  if (run.cancelAsked) return [run, 'not-now']
  if (run.paused !== null) return [run, 'same']
  const left = Math.max(0, run.deadline - now)
  return [{ ...run, paused: { since: now, left }, deadline: until }, 'changed']
}

const goingOn = (run: Running, now: Ms): Running =>
  run.paused === null ? run : { ...run, paused: null, deadline: now + (run.paused.left ?? 0) }

/** Who cancels a paused run ends its pause: where its agent has lost it, it is offered once more, to be ended. */
const toldToStop = (run: Running, now: Ms): Step =>
  run.cancelAsked ? [run, 'same'] : [{ ...goingOn(run, now), cancelAsked: true }, 'changed']

type OfEpoch = Extract<RunEvent, { readonly epoch: number }>
type OfAnyone = Exclude<RunEvent, OfEpoch | { readonly kind: 'dispatched' }>

const byHolder = (run: Running, event: OfEpoch): Step => {
  const { epoch } = run
  if (event.epoch !== epoch) return [run, 'lost']
  switch (event.kind) {
    case 'accepted':
      return run.accepted ? [run, 'same'] : [{ ...run, accepted: true }, 'changed']
    case 'refused':
      return [{ at: 'failed', epoch, problem: event.problem }, 'changed']
    case 'ended':
      return [{ at: event.status, epoch, problem: event.problem }, 'changed']
    case 'finished':
      return [{ at: event.status, epoch }, 'changed']
  }
}

const whileRunning = (run: Running, event: OfAnyone): Step => {
  switch (event.kind) {
    case 'presented':
      return presented(run, event.lease)
    case 'absent':
      return absent(run, event.link)
    case 'tick':
      return tick(run, event.now)
    case 'cancel':
      return toldToStop(run, event.now)
    case 'pause':
      return paused(run, event.now, event.until)
    case 'resume':
      return run.paused === null ? [run, 'same'] : [goingOn(run, event.now), 'changed']
    case 'unopened':
      return [run, 'not-now']
  }
}

/** What can happen to a run that nobody was given yet. */
const whilePending = (run: Waiting, event: OfEpoch | OfAnyone): Step => {
  if (event.kind === 'tick') return [run, 'same']
  if (event.kind === 'pause')
    return run.paused === null
      ? [{ ...run, paused: { since: event.now, left: null } }, 'changed']
      : [run, 'same']
  if (event.kind === 'resume')
    return run.paused === null ? [run, 'same'] : [{ ...run, paused: null }, 'changed']
  if (event.kind !== 'cancel' && event.kind !== 'unopened') return [run, 'lost']
  const at = event.kind === 'cancel' ? 'canceled' : 'failed'
  return [{ at, epoch: run.epoch, problem: event.problem }, 'changed']
}

/** Those that anybody may send at any time: they come too late, which is nobody's loss. */
const IDLE: ReadonlySet<RunEvent['kind']> = new Set([
  'cancel',
  'tick',
  'unopened',
  'pause',
  'resume',
])

/** What `event` makes of `run`. */
export const step = (run: Run, event: RunEvent): Step => {
  if (event.kind === 'dispatched') return offered(run, event.lease, event.deadline)
  switch (run.at) {
    case 'pending':
      return whilePending(run, event)
    case 'running':
      return 'epoch' in event ? byHolder(run, event) : whileRunning(run, event)
    case 'completed':
    case 'partial':
    case 'failed':
    case 'canceled':
      return [run, IDLE.has(event.kind) ? 'not-now' : 'lost']
  }
}
