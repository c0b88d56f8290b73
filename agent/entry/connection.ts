/** One connection to the control plane: drives the agent's end of shared/protocol/session over a socket. */
import { problemOf } from '#shared/errors.ts'
import { encode } from '#shared/protocol/codec.ts'
import type { Challenge, Connect, Enroll, Refused, Welcome } from '#shared/protocol/hello.ts'
import type { Order } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'
import {
  type AgentEffect,
  type AgentEvent,
  type AgentState,
  openAgent,
  stepAgent,
} from '#shared/protocol/session.ts'
import { PROTOCOL } from '#shared/protocol/version.ts'
import { SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { Dial, Socket } from '../ports.ts'

export type Conversation = {
  /** Who we are, for this challenge. */
  introduce(challenge: Challenge): Enroll | Connect
  opened(welcome: Welcome): void
  order(order: Order): void
  /** Time for a heartbeat. */
  beat(): void
  turnedAway(problem: Refused['problem']): void
}

export type Connection = {
  send(report: Report): void
  /** Resolves with the reason once it is over. */
  readonly over: Promise<string>
  leave(reason: string): void
}

/** The session decides by time alone what is silent; it is asked this often. */
const TICK = SECOND

type Line = { readonly dial: Dial; readonly url: string; readonly clock: Clock }

/** What one effect of the session asks for. */
const perform = (
  effect: Exclude<AgentEffect, { kind: 'challenged' }>,
  { socket, talk, end }: { socket: Socket; talk: Conversation; end: (reason: string) => void },
): void => {
  switch (effect.kind) {
    case 'send':
      socket.send(encode(effect.message))
      break
    case 'close':
      socket.close(effect.code, effect.reason)
      end(effect.reason)
      break
    case 'opened':
      talk.opened(effect.message)
      break
    case 'deliver':
      talk.order(effect.message)
      break
    case 'beat':
      talk.beat()
      break
    case 'turned-away':
      talk.turnedAway(effect.problem)
      break
  }
}

export const connect = ({ dial, url, clock }: Line, talk: Conversation): Connection => {
  let state: AgentState = openAgent(PROTOCOL, clock.monotonic())
  const ended = new AbortController()
  const { promise: over, resolve } = Promise.withResolvers<string>()
  const end = (reason: string): void => {
    ended.abort()
    resolve(reason)
  }
  const step = (event: AgentEvent): void => {
    const [next, effects] = stepAgent(state, event, clock.monotonic())
    state = next
    for (const effect of effects) {
      if (effect.kind === 'challenged')
        step({ kind: 'introduce', message: talk.introduce(effect.message) })
      else perform(effect, { socket, talk, end })
    }
  }
  /** A mistake of ours on this line ends the line, and not the program with all its runs. */
  const feed = (event: AgentEvent): void => {
    try {
      step(event)
    } catch (error) {
      state = { at: 'closed', because: 'lost' }
      socket.drop()
      end(problemOf(error))
    }
  }
  const socket = dial(url, {
    frame: (frame) => feed({ kind: 'frame', frame }),
    closed: (problem) => {
      feed({ kind: 'lost' })
      end(problem)
    },
  })
  const tick = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      await clock.sleep(TICK, ended.signal).catch(() => undefined)
      feed({ kind: 'tick' })
    }
  }
  void tick()
  return {
    // A report that cannot be encoded is the mistake of who made it, and is thrown there.
    send: (message) => step({ kind: 'send', message }),
    over,
    leave: (reason) => feed({ kind: 'leave', because: 'stopped', reason }),
  }
}

/** Where agents connect: the control plane's address in any of its forms. */
export const connectUrl = (address: string): string => {
  const url = new URL(address)
  if (url.protocol === 'http:') url.protocol = 'ws:'
  if (url.protocol === 'https:') url.protocol = 'wss:'
  if (!url.pathname.endsWith(PATH)) url.pathname = `${url.pathname.replace(/\/+$/, '')}${PATH}`
  return url.href
}

const PATH = '/v1/agent/connect'
