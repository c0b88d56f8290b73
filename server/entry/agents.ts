/**
 * GET /v1/agent/connect: accept → greeting → session machine → take-report. One WebSocket an agent; nothing here waits
 * without a deadline or buffers without a bound.
 */
import websocket from '@fastify/websocket'
import type { WebSocket } from 'ws'
import { describe, problemOf } from '#shared/errors.ts'
import { encode } from '#shared/protocol/codec.ts'
import { MAX_MESSAGE } from '#shared/protocol/fields.ts'
import type { Challenge, Connect, Enroll, Refused } from '#shared/protocol/hello.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'
import {
  CLOSE_CODES,
  type ControlPlaneEffect,
  type ControlPlaneEvent,
  type ControlPlaneState,
  openControlPlane,
  stepControlPlane,
} from '#shared/protocol/session.ts'
import { PROTOCOL } from '#shared/protocol/version.ts'
import { MiB, SECOND } from '#shared/units.ts'
import { type AgentParts, freshId, problemFor } from '../flow/agent-parts.ts'
import { admit, type Admitted } from '../flow/connect-agent.ts'
import { isSlow, takeReport } from '../flow/take-report.ts'
import type { Link } from '../ports.ts'
import type { Routes } from './http/app.ts'
import { createLane, type Lane } from './lane.ts'

/** An agent that does not read what it asked for is let go at this size, and connects again. */
const MOST_UNSENT = 8 * MiB
/** Reports that wait for their turn before we stop reading from the socket. */
const MOST_WAITING = 64
/** Slow requests of one agent that are worked on at once. */
const MOST_SLOW = 8
const TICK = SECOND
/** An end that does not answer a close frame is cut off. */
const GOODBYE = 3 * SECOND

type Socket = Pick<
  WebSocket,
  | 'readyState'
  | 'OPEN'
  | 'bufferedAmount'
  | 'send'
  | 'close'
  | 'terminate'
  | 'pause'
  | 'resume'
  | 'on'
>

type Connection = {
  readonly parts: AgentParts
  readonly socket: Socket
  readonly challenge: string
  readonly stop: AbortController
  readonly lane: Lane
  /** Dispatches for this server: it has just become reachable. */
  readonly opened: () => void
  state: ControlPlaneState
  link: Link | null
}

const sayGoodbye = (socket: Socket, code: number, reason: string): void => {
  socket.close(code, reason)
  setTimeout(() => socket.terminate(), GOODBYE).unref()
}

const textOf = (data: unknown): string => (Buffer.isBuffer(data) ? data.toString('utf8') : '')

const put = (connection: Connection, message: Parameters<typeof encode>[0]): void => {
  const { socket } = connection
  if (socket.readyState !== socket.OPEN) return
  socket.send(encode(message))
  if (socket.bufferedAmount > MOST_UNSENT)
    feed(connection, { kind: 'leave', because: 'overflow', reason: 'the reader is too slow' })
}

const deliver = ({ parts, lane, link, stop }: Connection, report: Report): void => {
  if (link === null) return
  lane.add(isSlow(report), async () => {
    const answer = await takeReport(parts, [link, report], stop.signal)
    if (answer !== null) link.send(answer)
  })
}

const linkOf = (connection: Connection, { server, organization, joins }: Admitted): Link => ({
  server,
  organization,
  joins,
  send: (order: Order) => {
    feed(connection, { kind: 'send', message: order })
    return connection.state.at === 'open'
  },
  close: (because, reason) => feed(connection, { kind: 'leave', because, reason }),
})

const decide = async (
  connection: Connection,
  message: Enroll | Connect,
  version: number,
): Promise<void> => {
  const { parts, challenge } = connection
  try {
    const admitted = await admit(parts, { message, version, challenge })
    feed(connection, { kind: 'accepted', welcome: admitted.welcome })
    if (connection.state.at !== 'open') {
      // The socket was lost while we decided: nobody else will note that the server is not there.
      await parts.agents.left(admitted.server, admitted.joins)
      return
    }
    connection.link = linkOf(connection, admitted)
    parts.links.add(connection.link)
    connection.opened()
  } catch (error) {
    const problem = problemFor(error)
    parts.log.warn({ code: problem.code, problem: problemOf(error) }, 'an agent was refused')
    const refused = { type: 'refused' as const, id: freshId(parts), re: message.id, problem }
    feed(connection, { kind: 'rejected', refused })
  }
}

const perform = (connection: Connection, effect: ControlPlaneEffect): void => {
  const { parts, socket, link } = connection
  switch (effect.kind) {
    case 'send':
      put(connection, effect.message)
      return
    case 'introduced':
      void decide(connection, effect.message, effect.version)
      return
    case 'deliver':
      deliver(connection, effect.message)
      return
    case 'refuse': {
      const { code, details } = effect
      const problem = { code, message: describe(code, details), details: { ...details } }
      const refused: Refused = { type: 'refused', id: freshId(parts), problem }
      put(connection, refused)
      return
    }
    case 'close':
      parts.log.info(
        { server: link?.server, code: effect.code, reason: effect.reason },
        'link closed',
      )
      // From here on nothing is offered to it, however long its goodbye takes.
      if (link !== null) parts.links.remove(link)
      socket.resume() // a paused socket would never read the other end's goodbye
      sayGoodbye(socket, effect.code, effect.reason)
      return
  }
}

const feed = (connection: Connection, event: ControlPlaneEvent): void => {
  const now = connection.parts.clock.monotonic()
  const [state, effects] = stepControlPlane(connection.state, event, now)
  connection.state = state
  for (const effect of effects) perform(connection, effect)
}

/** Notes that the agent is gone; the gate waits for it before the database is closed. */
const end = async (connection: Connection): Promise<void> => {
  const { parts, link, stop } = connection
  feed(connection, { kind: 'lost' })
  stop.abort(new Error('the connection of the agent is closed'))
  if (link === null) return
  parts.links.remove(link)
  try {
    await parts.agents.left(link.server, link.joins)
  } catch (error) {
    parts.log.warn({ server: link.server, problem: problemOf(error) }, 'cannot note a lost link')
  }
}

/** Drives one session; settles when its socket is closed and that is noted. Never rejects. */
const serve = async (parts: AgentParts, socket: Socket, opened: () => void): Promise<void> => {
  const over = Promise.withResolvers<undefined>()
  const challenge: Challenge = {
    type: 'challenge',
    id: freshId(parts),
    protocol: PROTOCOL,
    challenge: Buffer.from(parts.random(32)).toString('base64url'),
    time: parts.clock.now(),
  }
  const [state, effects] = openControlPlane(challenge, parts.clock.monotonic())
  const connection: Connection = {
    parts,
    socket,
    challenge: challenge.challenge,
    stop: new AbortController(),
    lane: createLane(MOST_SLOW, MOST_WAITING, (isFull) => {
      if (isFull) socket.pause()
      else socket.resume()
    }),
    opened,
    state,
    link: null,
  }
  const timer = setInterval(() => feed(connection, { kind: 'tick' }), TICK)
  socket.on('message', (data, isBinary) => {
    feed(connection, { kind: 'frame', frame: isBinary ? '' : textOf(data) })
  })
  socket.on('error', (error) => parts.log.debug({ problem: error.message }, 'a link failed'))
  socket.on('close', () => {
    clearInterval(timer)
    void end(connection).then(() => over.resolve(undefined))
  })
  for (const effect of effects) perform(connection, effect)
  await over.promise
}

export type AgentGate = {
  readonly routes: Routes
  /** Tells every agent that this replica stops, and waits until each is noted as gone; closing the app does so too. */
  close(): Promise<void>
}

/** `opened` is called whenever a server has become reachable here. */
export const agentGate = (parts: AgentParts, opened: () => void): AgentGate => {
  const open = new Map<Socket, Promise<void>>()
  const close = async (): Promise<void> => {
    for (const link of parts.links.all()) link.close('stopped', 'the control plane stops')
    for (const socket of open.keys())
      sayGoodbye(socket, CLOSE_CODES.stopped, 'the control plane stops')
    await Promise.all(open.values())
  }
  const routes: Routes = async (app) => {
    // Before the plugin's own hook, which would close the sockets without a word.
    app.addHook('preClose', close)
    await app.register(websocket, {
      options: { maxPayload: MAX_MESSAGE, perMessageDeflate: false },
    })
    app.get('/v1/agent/connect', { websocket: true, config: { scope: 'agent' } }, (socket) => {
      const served = serve(parts, socket, opened).then(() => void open.delete(socket))
      open.set(socket, served)
    })
  }
  return { routes, close }
}
