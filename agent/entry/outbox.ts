/** What this agent has said and is still to be answered, and what it will say once it can (PROTOCOL.md, "Repetition"). */
import { fail, Failure, isErrorCode, problemOf } from '#shared/errors.ts'
import type { Refused } from '#shared/protocol/hello.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'
import { formatSpan, type Ms } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import { delayOf, REASK } from '../core/backoff.ts'
import { answerLimit, type Patience, patienceFor } from '../core/patience.ts'

/** Made anew each time it is sent: the epoch of its run may have changed. */
export type Build = (id: string) => Report

export type Telling = 'always' | 'line' | 'fleeting'

/** Called each time that a request is going to be asked again because something is away. */
export type Troubled = (problem: Error, attempt: number) => void

export type Outbox = {
  /**
   * Sent under one id, again on every new connection, until it is answered; and again after a while where the answer is
   * that something is away just now.
   */
  readonly request: (build: Build, stop: AbortSignal, troubled?: Troubled) => Promise<Order>
  /** Sent once: `fleeting` ones only if that can be at once, `line`s of a log if not too many wait. */
  readonly tell: (build: Build, how: Telling) => void
  /** Resolves once everything told has been sent, or nothing will be any more. */
  readonly drained: () => Promise<void>
  /** The epochs of this connection are known: everything goes out that waits for them. */
  ready(): void
  /** No connection: everything waits. */
  lost(): void
  /** Takes the answer to a request; `stale` when the request went out under an old epoch. */
  answer(re: string, order: Order): 'taken' | 'stale'
  /** Gives up what has waited too long, and repeats what must have got lost on a connection that lives. */
  review(): void
  /** Nobody will be connected any more: whoever waits for an answer gets none. */
  close(): void
}

/** Told and not yet sent; more would mean that nobody listens. Lines of a log leave room for what matters. */
const MOST: Readonly<Record<Telling, number>> = { always: 1000, line: 500, fleeting: 0 }

type Pending = {
  readonly build: Build
  readonly since: Ms
  sent: Ms
  /** How often it was sent on a connection that lived. */
  repeated: number
  /** Its epoch was refused: the next leases bring another. */
  stale: boolean
  resolve(order: Order): void
  reject(error: Error): void
}

/** The control plane's problem as an error of ours. */
export const failureOf = ({ code, message, details }: Refused['problem']): Error => {
  if (!isErrorCode(code)) return fail('INTERNAL_AGENT', { problem: `${code}: ${message}` })
  const plain: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(details ?? {})) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      plain[name] = value
  }
  return fail(code, plain)
}

const reasonOf = (stop: AbortSignal): Error =>
  stop.reason instanceof Error ? stop.reason : fail('CANCELED')

type World = {
  readonly clock: Clock
  /** In [0, 1). */
  readonly chance: () => number
  readonly log: Log
  readonly patience: Patience
  readonly newId: () => string
  readonly send: (report: Report) => void
}

type Box = World & {
  readonly pending: Map<string, Pending>
  isReady: boolean
  isClosed: boolean
  told: Build[]
  listeners: (() => void)[]
}

const sendPending = (box: Box, id: string, one: Pending): void => {
  one.sent = box.clock.monotonic()
  one.stale = false
  box.send(one.build(id))
}

const wake = (box: Box): void => {
  const waking = box.listeners
  box.listeners = []
  for (const listener of waking) listener()
}

/** One exchange: waits through lost connections for an answer, whatever it says. */
const exchange = async (
  box: Box,
  [id, build]: readonly [string, Build],
  stop: AbortSignal,
): Promise<Order> => {
  stop.throwIfAborted()
  if (box.isClosed) throw fail('AGENT_STOPPED')
  const now = box.clock.monotonic()
  let abandon: () => void = () => undefined
  try {
    return await new Promise((resolve, reject) => {
      const one: Pending = {
        build,
        since: now,
        sent: now,
        repeated: 0,
        stale: false,
        resolve,
        reject,
      }
      abandon = () => reject(reasonOf(stop))
      stop.addEventListener('abort', abandon, { once: true })
      box.pending.set(id, one)
      if (box.isReady) sendPending(box, id, one)
    })
  } finally {
    stop.removeEventListener('abort', abandon)
    box.pending.delete(id)
  }
}

/** Why it was not done, if asking again may help and there is still time for it; throws where it is over. */
const passing = (box: Box, order: Extract<Order, { type: 'failed' }>, waited: Ms): Error => {
  const error = failureOf(order.problem)
  const limit = error instanceof Failure ? patienceFor(error.code, error.details, box.patience) : 0
  if (waited >= limit) throw error
  return error
}

const ask = async (
  box: Box,
  [build, troubled]: readonly [Build, Troubled],
  stop: AbortSignal,
): Promise<Order> => {
  const { clock, log } = box
  const id = box.newId()
  let since: Ms | null = null
  for (let attempt = 1; ; attempt += 1) {
    const order = await exchange(box, [id, build], stop)
    if (order.type !== 'failed') return order
    since ??= clock.monotonic()
    const error = passing(box, order, clock.monotonic() - since)
    const request = build(id).type
    log.warn({ request, attempt, problem: problemOf(error) }, 'asked in vain; asking again')
    troubled(error, attempt)
    await clock.sleep(delayOf(REASK, attempt, box.chance()), stop).catch(() => undefined)
    if (stop.aborted) throw reasonOf(stop)
  }
}

const review = (box: Box): void => {
  const now = box.clock.monotonic()
  const { silent } = box.patience
  for (const [id, one] of box.pending) {
    const { type } = one.build(id)
    const limit = answerLimit(type, one.repeated)
    if (now - one.since > silent)
      one.reject(fail('CONTROL_PLANE_SILENT', { request: type, span: formatSpan(silent) }))
    else if (box.isReady && !one.stale && now - one.sent > limit) {
      one.repeated += 1
      sendPending(box, id, one)
    }
  }
}

const answer = (box: Box, re: string, order: Order): 'taken' | 'stale' => {
  const one = box.pending.get(re)
  if (one === undefined) return 'taken'
  if (order.type === 'failed' && order.problem.code === 'LEASE_LOST') {
    one.stale = true
    return 'stale'
  }
  one.resolve(order)
  return 'taken'
}

const becomeReady = (box: Box): void => {
  const first = !box.isReady
  box.isReady = true
  for (const [id, one] of box.pending) if (first || one.stale) sendPending(box, id, one)
  const waiting = box.told
  box.told = []
  for (const build of waiting) box.send(build(box.newId()))
  wake(box)
}

export const createOutbox = (world: World): Outbox => {
  const box: Box = {
    ...world,
    pending: new Map(),
    isReady: false,
    isClosed: false,
    told: [],
    listeners: [],
  }
  return {
    request: async (build, stop, troubled = () => undefined) =>
      await ask(box, [build, troubled], stop),
    tell: (build, how) => {
      if (box.isReady) box.send(build(box.newId()))
      else if (box.told.length < MOST[how]) box.told.push(build)
    },
    drained: async () => {
      if (box.isClosed || box.told.length === 0) return
      await new Promise<void>((resolve) => {
        box.listeners.push(resolve)
      })
    },
    ready: () => becomeReady(box),
    lost: () => {
      box.isReady = false
    },
    answer: (re, order) => answer(box, re, order),
    review: () => review(box),
    close: () => {
      box.isClosed = true
      for (const one of box.pending.values()) one.reject(fail('AGENT_STOPPED'))
      wake(box)
    },
  }
}
