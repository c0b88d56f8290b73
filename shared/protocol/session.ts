/**
 * One connection between an agent and the control plane, as a pure machine that both ends run: the caller owns the
 * socket and the timer, feeds events in and performs the effects in order. PROTOCOL.md, "States".
 *
 *   control plane:  challenged ──introduction──▶ deciding ──accepted──▶ open ──▶ closed
 *   agent:          waiting ──challenge──▶ introducing ──introduced──▶ answered ──welcome──▶ open ──▶ closed
 *
 * `now` is monotonic time in ms: a clock that is set must not close connections. Nothing is delivered before `open`
 * and nothing after `closed`; a closed session answers every event with no effects.
 */
import { Buffer } from 'node:buffer'
import { describe, type Details, type ErrorCode } from '../errors.ts'
import { type Ms, SECOND } from '../units.ts'
import {
  type Decoded,
  decodeGreeting,
  decodeIntroduction,
  decodeOrder,
  decodeReport,
} from './codec.ts'
import type { Challenge, Connect, Enroll, Refused, Welcome } from './hello.ts'
import type { Order } from './orders.ts'
import type { Report } from './reports.ts'
import { agree, showRange, type VersionRange } from './version.ts'

/** A greeting takes at most this long, from the open socket to `welcome`. */
export const GREETING_LIMIT: Ms = 20 * SECOND
/** So many heartbeats may be missed before an end counts the other as gone. */
export const MISSED_BEATS = 3

/** Why a session is over, with the WebSocket close code that tells the other end. */
export const CLOSE_CODES = {
  stopped: 1001,
  violation: 4400,
  refused: 4403,
  version: 4406,
  silent: 4408,
  superseded: 4409,
  'out-of-turn': 4410,
  overflow: 4413,
  lost: 1006,
} as const
export type Because = keyof typeof CLOSE_CODES

type Closed = { readonly at: 'closed'; readonly because: Because }
type Open = {
  readonly at: 'open'
  readonly version: number
  readonly beat: Ms
  readonly heard: Ms
  /** When the last heartbeat was due to be sent (agent). */
  readonly beaten: Ms
}

/** What ends a session from this side: the program stops, a newer connection took over, or the buffer is full. */
export type Leave = 'stopped' | 'superseded' | 'overflow' | 'violation'

type Common =
  | { readonly kind: 'frame'; readonly frame: string }
  | { readonly kind: 'tick' }
  | { readonly kind: 'leave'; readonly because: Leave; readonly reason: string }
  | { readonly kind: 'lost' }

type Close = { readonly kind: 'close'; readonly code: number; readonly reason: string }

export type ControlPlaneState =
  | { readonly at: 'challenged' | 'deciding'; readonly deadline: Ms; readonly ours: VersionRange }
  | Open
  | Closed
export type ControlPlaneEvent =
  | Common
  | { readonly kind: 'accepted'; readonly welcome: Welcome }
  | { readonly kind: 'rejected'; readonly refused: Refused }
  | { readonly kind: 'send'; readonly message: Order }
export type ControlPlaneEffect =
  | Close
  | { readonly kind: 'send'; readonly message: Challenge | Welcome | Refused | Order }
  /** Decide whether this agent is let in; answer with the event `accepted` or `rejected`. */
  | { readonly kind: 'introduced'; readonly message: Enroll | Connect; readonly version: number }
  | { readonly kind: 'deliver'; readonly message: Report }
  /** Send `refused` with this problem; a `close` follows. */
  | { readonly kind: 'refuse'; readonly code: ErrorCode; readonly details: Details }

export type AgentState =
  | {
      readonly at: 'waiting' | 'introducing' | 'answered'
      readonly deadline: Ms
      readonly ours: VersionRange
    }
  | Open
  | Closed
export type AgentEvent =
  | Common
  | { readonly kind: 'introduce'; readonly message: Enroll | Connect }
  | { readonly kind: 'send'; readonly message: Report }
export type AgentEffect =
  | Close
  | { readonly kind: 'send'; readonly message: Enroll | Connect | Report }
  /** Prove who we are: sign this challenge and give the event `introduce`. */
  | { readonly kind: 'challenged'; readonly message: Challenge }
  | { readonly kind: 'opened'; readonly message: Welcome }
  /** The control plane said no and why; a `close` follows. */
  | { readonly kind: 'turned-away'; readonly problem: Refused['problem'] }
  | { readonly kind: 'deliver'; readonly message: Order }
  /** Send a heartbeat with the runs that are worked on. */
  | { readonly kind: 'beat' }

export type ControlPlaneStep = readonly [ControlPlaneState, readonly ControlPlaneEffect[]]
export type AgentStep = readonly [AgentState, readonly AgentEffect[]]

// A close frame's reason holds at most 123 bytes (RFC 6455, 5.5).
const shorten = (reason: string): string => {
  let text = reason.slice(0, 123)
  while (Buffer.byteLength(text) > 123) text = text.slice(0, -1)
  return text
}

const close = (because: Because, reason: string): readonly [Closed, readonly [Close]] => [
  { at: 'closed', because },
  [{ kind: 'close', code: CLOSE_CODES[because], reason: shorten(reason) }],
]

const LOST: readonly [Closed, readonly []] = [{ at: 'closed', because: 'lost' }, []]

const silent = (whom: string): readonly [Closed, readonly [Close]] =>
  close('silent', `the ${whom} said nothing in time`)

const outOfTurn = (what: string): readonly [Closed, readonly [Close]] =>
  close('out-of-turn', `${what} came out of turn`)

const delivered = <M>(
  state: Open,
  decoded: Decoded<M>,
  now: Ms,
): readonly [Open | Closed, readonly (Close | { kind: 'deliver'; message: M })[]] =>
  'ok' in decoded
    ? [{ ...state, heard: now }, [{ kind: 'deliver', message: decoded.ok }]]
    : close('violation', decoded.refused)

const isSilent = (state: Open, now: Ms): boolean => now - state.heard >= MISSED_BEATS * state.beat

type Ends = { readonly controlPlane: VersionRange; readonly agent: VersionRange }

/** What each speaks, and which of them must be updated. */
const disagreement = ({ controlPlane, agent }: Ends): Details => ({
  control_plane: showRange(controlPlane),
  agent: showRange(agent),
  older: agent.current < controlPlane.current ? 'agent' : 'control plane',
})

/** The first state of the control plane's end: the challenge goes out at once. */
export const openControlPlane = (challenge: Challenge, now: Ms): ControlPlaneStep => [
  { at: 'challenged', deadline: now + GREETING_LIMIT, ours: challenge.protocol },
  [{ kind: 'send', message: challenge }],
]

/** The first state of the agent's end. `ours` is PROTOCOL, except in tests of disagreement. */
export const openAgent = (ours: VersionRange, now: Ms): AgentState => ({
  at: 'waiting',
  deadline: now + GREETING_LIMIT,
  ours,
})

const introduction = (
  state: Extract<ControlPlaneState, { at: 'challenged' | 'deciding' }>,
  frame: string,
): ControlPlaneStep => {
  const decoded = decodeIntroduction(frame)
  if ('refused' in decoded) {
    const [closed, effects] = close('violation', decoded.refused)
    const details = { problem: decoded.refused }
    return [closed, [{ kind: 'refuse', code: 'PROTOCOL_VIOLATION', details }, ...effects]]
  }
  const theirs = decoded.ok.protocol
  const version = agree(state.ours, theirs)
  if (version === null) {
    const [closed, effects] = close('version', 'no common protocol version')
    const details = disagreement({ controlPlane: state.ours, agent: theirs })
    return [closed, [{ kind: 'refuse', code: 'PROTOCOL_VERSION', details }, ...effects]]
  }
  return [{ ...state, at: 'deciding' }, [{ kind: 'introduced', message: decoded.ok, version }]]
}

const greetControlPlane = (
  state: Extract<ControlPlaneState, { at: 'challenged' | 'deciding' }>,
  event: ControlPlaneEvent,
  now: Ms,
): ControlPlaneStep => {
  switch (event.kind) {
    case 'frame':
      return state.at === 'challenged' ? introduction(state, event.frame) : outOfTurn('a message')
    case 'tick':
      return now < state.deadline ? [state, []] : silent('agent')
    case 'accepted': {
      if (state.at !== 'deciding') return outOfTurn('a welcome')
      const { version, heartbeat_seconds } = event.welcome
      const beat = Math.max(1, heartbeat_seconds) * SECOND
      return [
        { at: 'open', version, beat, heard: now, beaten: now },
        [{ kind: 'send', message: event.welcome }],
      ]
    }
    case 'rejected': {
      const [closed, effects] = close('refused', event.refused.problem.code)
      return [closed, [{ kind: 'send', message: event.refused }, ...effects]]
    }
    case 'send':
      return [state, []]
    case 'leave':
      return close(event.because, event.reason)
    case 'lost':
      return LOST
  }
}

/** The control plane's end: what `event` makes of `state`, and what the caller has to do about it. */
export const stepControlPlane = (
  state: ControlPlaneState,
  event: ControlPlaneEvent,
  now: Ms,
): ControlPlaneStep => {
  if (state.at === 'closed') return [state, []]
  if (state.at !== 'open') return greetControlPlane(state, event, now)
  switch (event.kind) {
    case 'frame':
      return delivered(state, decodeReport(event.frame), now)
    case 'tick':
      return isSilent(state, now) ? silent('agent') : [state, []]
    case 'send':
      return [state, [{ kind: 'send', message: event.message }]]
    case 'accepted':
    case 'rejected':
      return [state, []]
    case 'leave':
      return close(event.because, event.reason)
    case 'lost':
      return LOST
  }
}

const disagree = (ends: Ends): AgentStep => {
  const [closed, effects] = close('version', 'no common protocol version')
  const details = disagreement(ends)
  const message = describe('PROTOCOL_VERSION', details)
  const problem = { code: 'PROTOCOL_VERSION', message, details: { ...details } }
  return [closed, [{ kind: 'turned-away', problem }, ...effects]]
}

type AgentGreeting = Extract<AgentState, { at: 'waiting' | 'introducing' | 'answered' }>

const greeting = (state: AgentGreeting, frame: string, now: Ms): AgentStep => {
  const decoded = decodeGreeting(frame)
  if ('refused' in decoded) return close('violation', decoded.refused)
  const message = decoded.ok
  switch (message.type) {
    case 'refused': {
      const [closed, effects] = close('refused', message.problem.code)
      return [closed, [{ kind: 'turned-away', problem: message.problem }, ...effects]]
    }
    case 'challenge':
      if (state.at !== 'waiting') return outOfTurn('a challenge')
      if (agree(state.ours, message.protocol) === null)
        return disagree({ controlPlane: message.protocol, agent: state.ours })
      return [{ ...state, at: 'introducing' }, [{ kind: 'challenged', message }]]
    case 'welcome': {
      if (state.at !== 'answered') return outOfTurn('a welcome')
      const { version } = message
      if (version < state.ours.oldest || version > state.ours.current)
        return close('version', `version ${String(version)} was not offered`)
      const beat = Math.max(1, message.heartbeat_seconds) * SECOND
      // The first heartbeat goes out at once: it presents the runs that outlived the last connection.
      return [
        { at: 'open', version, beat, heard: now, beaten: now },
        [{ kind: 'opened', message }, { kind: 'beat' }],
      ]
    }
  }
}

const greetAgent = (state: AgentGreeting, event: AgentEvent, now: Ms): AgentStep => {
  switch (event.kind) {
    case 'frame':
      return greeting(state, event.frame, now)
    case 'tick':
      return now < state.deadline ? [state, []] : silent('control plane')
    case 'introduce':
      if (state.at !== 'introducing') return outOfTurn('an introduction')
      return [{ ...state, at: 'answered' }, [{ kind: 'send', message: event.message }]]
    case 'send':
      return [state, []]
    case 'leave':
      return close(event.because, event.reason)
    case 'lost':
      return LOST
  }
}

/** The agent's end. Reports given before `open` are dropped: what must not be lost is sent again after `opened`. */
export const stepAgent = (state: AgentState, event: AgentEvent, now: Ms): AgentStep => {
  if (state.at === 'closed') return [state, []]
  if (state.at !== 'open') return greetAgent(state, event, now)
  switch (event.kind) {
    case 'frame':
      return delivered(state, decodeOrder(event.frame), now)
    case 'tick':
      if (isSilent(state, now)) return silent('control plane')
      return now - state.beaten >= state.beat
        ? [{ ...state, beaten: now }, [{ kind: 'beat' }]]
        : [state, []]
    case 'introduce':
      return [state, []]
    case 'send':
      return [state, [{ kind: 'send', message: event.message }]]
    case 'leave':
      return close(event.because, event.reason)
    case 'lost':
      return LOST
  }
}
