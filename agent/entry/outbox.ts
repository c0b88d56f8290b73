/** What this agent has said and is still to be answered, and what it will say once it can (PROTOCOL.md, "Repetition"). */
import { fail, isErrorCode } from '#shared/errors.ts'
import type { Refused } from '#shared/protocol/hello.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'
import { DAY, formatSpan, MINUTE, type Ms } from '#shared/units.ts'

/** Made anew each time it is sent: the epoch of its run may have changed. */
export type Build = (id: string) => Report

export type Outbox = {
  /** Sent under one id, again on every new connection, until it is answered. */
  readonly request: (build: Build, stop: AbortSignal) => Promise<Order>
  /** Sent once; `fleeting` ones only if that can be at once. */
  readonly tell: (build: Build, how: { readonly fleeting: boolean }) => void
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

/** A request without an answer for so long is given up. */
const LONGEST = DAY
/** On a connection that lives, an answer that takes longer was lost; a commit may take minutes. */
const ANSWER_LIMIT = 10 * MINUTE
/** Told and not yet sent; more would mean that nobody listens. */
const MOST_TOLD = 1000

type Pending = {
  readonly build: Build
  readonly since: Ms
  sent: Ms
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
  readonly monotonic: () => Ms
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
  one.sent = box.monotonic()
  one.stale = false
  box.send(one.build(id))
}

const wake = (box: Box): void => {
  const waking = box.listeners
  box.listeners = []
  for (const listener of waking) listener()
}

const ask = async (box: Box, build: Build, stop: AbortSignal): Promise<Order> => {
  stop.throwIfAborted()
  if (box.isClosed) throw fail('AGENT_STOPPED')
  const id = box.newId()
  const now = box.monotonic()
  let abandon: () => void = () => undefined
  try {
    return await new Promise((resolve, reject) => {
      const one: Pending = { build, since: now, sent: now, stale: false, resolve, reject }
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

const review = (box: Box): void => {
  const now = box.monotonic()
  for (const [id, one] of box.pending) {
    if (now - one.since > LONGEST) {
      const request = one.build(id).type
      one.reject(fail('CONTROL_PLANE_SILENT', { request, span: formatSpan(LONGEST) }))
    } else if (box.isReady && !one.stale && now - one.sent > ANSWER_LIMIT) sendPending(box, id, one)
  }
}

const answer = (box: Box, re: string, order: Order): 'taken' | 'stale' => {
  const one = box.pending.get(re)
  if (one === undefined) return 'taken'
  if (order.type !== 'failed') one.resolve(order)
  else if (order.problem.code === 'LEASE_LOST') {
    one.stale = true
    return 'stale'
  } else one.reject(failureOf(order.problem))
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
    request: async (build, stop) => await ask(box, build, stop),
    tell: (build, { fleeting }) => {
      if (box.isReady) box.send(build(box.newId()))
      else if (!fleeting && box.told.length < MOST_TOLD) box.told.push(build)
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
