/**
 * The link to the control plane: connects, greets, connects again with back-off, and sees every request of a run
 * through to its answer, however many connections that takes (PROTOCOL.md, "Repetition").
 */
import { fail, isErrorCode } from '#shared/errors.ts'
import { makeId } from '#shared/ids.ts'
import type { Challenge, Connect, Refused, Welcome } from '#shared/protocol/hello.ts'
import type { Order, Orders } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'
import { DAY, formatSpan, MINUTE } from '#shared/units.ts'
import { delayOf, RECONNECT } from '../core/backoff.ts'
import type { Dial, World } from '../ports.ts'
import { connect, type Connection } from './connection.ts'

/** A run as the control plane knows it; the epoch changes with every connection. */
export type RunClaim = { readonly run: string; readonly epoch: number }

/** What works on the other side of the link: takes orders, knows which runs there are. */
export type Worker = {
  order(order: Orders['backup.start'] | Orders['backup.cancel']): void
  runs(): readonly RunClaim[]
  /** The control plane's word on the runs of the last heartbeat. */
  leases(leases: Orders['leases']): void
}

export type LinkParts = {
  readonly dial: Dial
  readonly url: string
  readonly world: World
  introduce(challenge: Challenge): Connect
  /** What the control plane says of itself; throws to leave again. */
  welcome(welcome: Welcome): void
}

export type Link = {
  /** Sends under one message id until it is answered. `build` is asked anew each time: epochs change. */
  request(build: (id: string) => Report, stop: AbortSignal): Promise<Order>
  /** Sent once; waits for a connection unless `fleeting`. */
  tell(build: (id: string) => Report, how: { readonly fleeting: boolean }): void
  /** Stays connected until `stop`; throws only what makes further tries pointless. */
  run(worker: Worker, stop: AbortSignal): Promise<void>
  /** Resolves once everything told has been sent, or the link has stopped. */
  drained(): Promise<void>
}

/** A request without an answer for so long is given up. */
const LONGEST = DAY
/** On a connection that is alive an answer that takes longer was lost; a commit may take minutes. */
const ANSWER_LIMIT = 10 * MINUTE
/** Told and not yet sent; more would mean that nobody listens. */
const MOST_TOLD = 1000

type Pending = {
  readonly build: (id: string) => Report
  readonly since: number
  sent: number
  /** Its epoch was refused: the next leases bring another. */
  stale: boolean
  resolve(order: Order): void
  reject(error: Error): void
}

/** Reasons for which connecting again cannot help. */
const FINAL: ReadonlySet<string> = new Set(['UNAUTHENTICATED', 'AGENT_CLONED', 'PROTOCOL_VERSION'])

export const failureOf = ({ code, message, details }: Refused['problem']): Error => {
  if (!isErrorCode(code)) return fail('INTERNAL_AGENT', { problem: `${code}: ${message}` })
  const plain: Record<string, string | number | boolean> = {}
  for (const [name, value] of Object.entries(details ?? {})) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      plain[name] = value
  }
  return fail(code, plain)
}

export const createLink = (parts: LinkParts): Link => {
  const { world } = parts
  const { clock, log } = world
  const pending = new Map<string, Pending>()
  let told: ((id: string) => Report)[] = []
  let connection: Connection | null = null
  /** Whether the leases of this connection are here: only then are the epochs right. */
  let ready = false
  let worker: Worker | null = null
  let listeners: (() => void)[] = []

  const newId = (): string => makeId(clock.now(), world.random(10))
  const send = (report: Report): void => connection?.send(report)
  const sendPending = (id: string, one: Pending): void => {
    Object.assign(one, { sent: clock.monotonic(), stale: false })
    send(one.build(id))
  }
  const wake = (): void => {
    const waking = listeners
    listeners = []
    for (const listener of waking) listener()
  }
  const flush = (): void => {
    const waiting = told
    told = []
    for (const build of waiting) send(build(newId()))
    wake()
  }
  const becomeReady = (): void => {
    const first = !ready
    ready = true
    for (const [id, one] of pending) if (first || one.stale) sendPending(id, one)
    flush()
  }
  const giveUp = (now: number): void => {
    for (const [id, one] of pending) {
      if (now - one.since > LONGEST) {
        pending.delete(id)
        const request = one.build(id).type
        one.reject(fail('CONTROL_PLANE_SILENT', { request, span: formatSpan(LONGEST) }))
      } else if (ready && !one.stale && now - one.sent > ANSWER_LIMIT) sendPending(id, one)
    }
  }
  const beat = (): void => {
    giveUp(clock.monotonic())
    send({ type: 'heartbeat', id: newId(), runs: [...(worker?.runs() ?? [])] })
  }
  const answered = (re: string, order: Order): void => {
    const one = pending.get(re)
    if (one === undefined) return
    if (order.type === 'failed' && order.problem.code === 'LEASE_LOST') {
      // Another epoch holds by now: the answer to a heartbeat names it, or says that the run is lost.
      one.stale = true
      beat()
      return
    }
    pending.delete(re)
    if (order.type === 'failed') one.reject(failureOf(order.problem))
    else one.resolve(order)
  }
  const take = (order: Order): void => {
    if (order.type === 'leases') {
      worker?.leases(order)
      becomeReady()
    } else if (order.type === 'backup.start' || order.type === 'backup.cancel') worker?.order(order)
    else if (order.re !== undefined) answered(order.re, order)
  }

  /** One connection from beginning to end; answers whether it ever opened, and what was final about its end. */
  const once = async (stop: AbortSignal): Promise<{ opened: boolean; final: Error | null }> => {
    let opened = false
    let final: Error | null = null
    const current = connect(parts.dial, parts.url, clock, {
      introduce: parts.introduce,
      opened: (welcome) => {
        opened = true
        connection = current
        log.info({ server: welcome.server }, 'connected')
        try {
          parts.welcome(welcome)
        } catch (error) {
          final = error instanceof Error ? error : null
          current.leave('welcome refused')
        }
      },
      order: take,
      beat,
      turnedAway: (problem) => {
        log.error({ code: problem.code }, problem.message)
        if (FINAL.has(problem.code)) final = failureOf(problem)
      },
    })
    const leave = (): void => current.leave('the agent stops')
    stop.addEventListener('abort', leave, { once: true })
    const reason = await current.over
    stop.removeEventListener('abort', leave)
    connection = null
    ready = false
    if (!stop.aborted) log.warn({ reason }, 'the connection ended')
    return { opened, final }
  }
  return {
    request: async (build, stop) => {
      stop.throwIfAborted()
      const id = newId()
      const now = clock.monotonic()
      return await new Promise((resolve, reject) => {
        const done = (): void => stop.removeEventListener('abort', abandon)
        const one: Pending = {
          build,
          since: now,
          sent: now,
          stale: false,
          resolve: (order) => {
            done()
            resolve(order)
          },
          reject: (error) => {
            done()
            reject(error)
          },
        }
        const abandon = (): void => {
          pending.delete(id)
          reject(stop.reason instanceof Error ? stop.reason : fail('CANCELED'))
        }
        stop.addEventListener('abort', abandon, { once: true })
        pending.set(id, one)
        if (ready) sendPending(id, one)
      })
    },
    tell: (build, { fleeting }) => {
      if (ready) send(build(newId()))
      else if (!fleeting && told.length < MOST_TOLD) told.push(build)
    },
    run: async (theWorker, stop) => {
      worker = theWorker
      stop.addEventListener('abort', wake, { once: true })
      for (let attempt = 1; !stop.aborted; attempt += 1) {
        const { opened, final } = await once(stop)
        if (final !== null) throw final
        if (opened) attempt = 1
        const [chance = 0] = world.random(1)
        const delay = delayOf(RECONNECT, attempt, chance / 256)
        await clock.sleep(delay, stop).catch(() => undefined)
      }
    },
    drained: async () => {
      if (told.length > 0 && worker !== null)
        await new Promise<void>((resolve) => {
          listeners.push(resolve)
        })
    },
  }
}
