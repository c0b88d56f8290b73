/**
 * The link to the control plane: connects, greets, connects again with back-off, and sees every request of a run
 * through to its answer, however many connections that takes.
 */
import { makeId } from '#shared/ids.ts'
import type { Challenge, Connect, Welcome } from '#shared/protocol/hello.ts'
import type { Order, Orders } from '#shared/protocol/orders.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import { chanceFrom, delayOf, RECONNECT } from '../core/backoff.ts'
import type { Patience } from '../core/patience.ts'
import type { Presence } from '../core/status.ts'
import type { Dial, World } from '../ports.ts'
import { connect, type Connection } from './connection.ts'
import { createOutbox, failureOf, type Outbox } from './outbox.ts'

/** A run as the control plane knows it; the epoch changes with every connection. */
export type RunClaim = { readonly run: string; readonly epoch: number }

type RunOrder = Orders[(typeof RUN_ORDERS)[number]]

const RUN_ORDERS = [
  'backup.start',
  'backup.cancel',
  'backup.pause',
  'backup.resume',
  'restore.start',
  'restore.cancel',
  'open.prove',
] as const

const isRunOrder = (order: Order): order is RunOrder =>
  RUN_ORDERS.some((type) => type === order.type)

/** A heartbeat lists no more (PROTOCOL.md, `heartbeat`): those beyond were refused and are about to go. */
const MOST_RUNS = 100

/** What works on the other side of the link: takes orders, knows which runs there are. */
export type Worker = {
  order(order: RunOrder): void
  runs(): readonly RunClaim[]
  /** The control plane's word on the runs of the last heartbeat. */
  leases(leases: Orders['leases']): void
}

export type LinkParts = {
  readonly dial: Dial
  readonly url: string
  readonly world: World
  readonly patience: Patience
  readonly introduce: (challenge: Challenge) => Connect
  /** What the control plane says of itself; throws to leave for good. */
  readonly welcome: (welcome: Welcome) => void
}

export type Link = Pick<Outbox, 'request' | 'tell' | 'drained'> & {
  /** Stays connected until `stop`; throws only what makes further tries pointless. */
  run(worker: Worker, stop: AbortSignal): Promise<void>
  /** Whether there is a connection, since when, and if not, why. */
  readonly presence: () => Presence
}

/** Reasons for which connecting again cannot help. */
const FINAL: ReadonlySet<string> = new Set(['AGENT_UNKNOWN', 'AGENT_CLONED', 'PROTOCOL_VERSION'])

type State = LinkParts & {
  readonly outbox: Outbox
  readonly newId: () => string
  connection: Connection | null
  worker: Worker | null
  presence: Presence
}

const beat = (state: State): void => {
  state.outbox.review()
  const runs = (state.worker?.runs() ?? []).slice(0, MOST_RUNS)
  state.connection?.send({ type: 'heartbeat', id: state.newId(), runs })
}

const take = (state: State, order: Order): void => {
  const { worker, outbox } = state
  if (order.type === 'leases') {
    worker?.leases(order)
    // Only now are the epochs right under which the runs go on.
    outbox.ready()
  } else if (isRunOrder(order)) worker?.order(order)
  // The answer to another heartbeat names the epoch that holds by now, or says that the run is lost.
  else if (order.re !== undefined && outbox.answer(order.re, order) === 'stale') beat(state)
}

/** A connection that lived so long was a good one: the next try comes at once. */
const STEADY = 30 * SECOND
/** One that was of use, however short, is worth soon another; where there is none at all, tries become rare. */
const SOON = 3

type End = {
  readonly lived: 'not' | 'shortly' | 'long'
  readonly final: Error | null
}

const attemptAfter = (attempt: number, { lived }: End): number => {
  if (lived === 'long') return 1
  return lived === 'shortly' ? Math.min(attempt, SOON) : attempt
}

/** Since the last connection ended, for the reason for which the last try failed. */
const absence = ({ connected, since, protocol }: Presence, problem: string, now: Ms): Presence => ({
  connected: false,
  since: connected ? now : since,
  protocol,
  problem,
})

/** One connection from beginning to end. */
const once = async (state: State, stop: AbortSignal): Promise<End> => {
  const { world, outbox, dial, url, introduce } = state
  const end: { heard: Ms | null; final: Error | null } = { heard: null, final: null }
  const current = connect(
    { dial, url, clock: world.clock },
    {
      introduce,
      opened: (welcome) => {
        state.connection = current
        const { version: protocol } = welcome
        state.presence = { connected: true, since: world.clock.now(), protocol, problem: null }
        world.log.info({ server: welcome.server }, 'connected')
        try {
          state.welcome(welcome)
        } catch (error) {
          end.final = error instanceof Error ? error : null
          current.leave('the welcome was refused')
        }
      },
      order: (order) => {
        if (order.type === 'leases') end.heard ??= world.clock.monotonic()
        take(state, order)
      },
      beat: () => beat(state),
      turnedAway: (problem) => {
        world.log.error({ code: problem.code }, problem.message)
        if (FINAL.has(problem.code)) end.final = failureOf(problem)
      },
    },
  )
  const leave = (): void => current.leave('the agent stops')
  stop.addEventListener('abort', leave, { once: true })
  const reason = await current.over
  stop.removeEventListener('abort', leave)
  state.connection = null
  state.presence = absence(state.presence, reason, world.clock.now())
  outbox.lost()
  if (!stop.aborted) world.log.warn({ reason }, 'the connection ended')
  const { heard, final } = end
  const isLong = heard !== null && world.clock.monotonic() - heard >= STEADY
  return { lived: heard === null ? 'not' : isLong ? 'long' : 'shortly', final }
}

const keepConnected = async (state: State, stop: AbortSignal): Promise<void> => {
  const { clock, random } = state.world
  for (let attempt = 1; !stop.aborted; attempt += 1) {
    const end = await once(state, stop)
    if (end.final !== null) throw end.final
    attempt = attemptAfter(attempt, end)
    state.outbox.review()
    const pause = delayOf(RECONNECT, attempt, chanceFrom(random))
    await clock.sleep(pause, stop).catch(() => undefined)
  }
}

export const createLink = (parts: LinkParts): Link => {
  const { clock, random, log } = parts.world
  const newId = (): string => makeId(clock.now(), random(10))
  const outbox = createOutbox({
    clock,
    log,
    chance: () => chanceFrom(random),
    patience: parts.patience,
    newId,
    send: (report) => state.connection?.send(report),
  })
  const presence = { connected: false, since: clock.now(), protocol: null, problem: null }
  const state: State = { ...parts, outbox, newId, presence, connection: null, worker: null }
  return {
    presence: () => state.presence,
    request: outbox.request,
    tell: outbox.tell,
    drained: outbox.drained,
    run: async (worker, stop) => {
      state.worker = worker
      try {
        await keepConnected(state, stop)
      } finally {
        outbox.close()
      }
    },
  }
}
