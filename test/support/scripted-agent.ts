/** An agent whose every message is written by the test: the real session machine on a real WebSocket, nothing else. */
import { WebSocket } from 'ws'
import { systemRandom } from '#server/io/random.ts'
import { encode } from '#shared/protocol/codec.ts'
import { type Connect, type Enroll, helloProof, type Welcome } from '#shared/protocol/hello.ts'
import type { Grant, Order, Orders } from '#shared/protocol/orders.ts'
import type { Report } from '#shared/protocol/reports.ts'
import { makeSigningKey } from '#shared/format/keys.ts'
import {
  type AgentEffect,
  type AgentEvent,
  type AgentState,
  openAgent,
  stepAgent,
} from '#shared/protocol/session.ts'
import { PROTOCOL } from '#shared/protocol/version.ts'
import { id } from './agent-world.ts'
import { FACTS } from './facts.ts'

/** What an agent keeps between connections. */
export type AgentKeysAndState = {
  readonly signing: ReturnType<typeof makeSigningKey>
  readonly boxKey: string
  server: string
  joins: number
}

export const newAgent = (): AgentKeysAndState => ({
  signing: makeSigningKey(systemRandom(32)),
  boxKey: Buffer.from(systemRandom(32)).toString('base64url'),
  server: '',
  joins: 0,
})

type Hello = { readonly token: string } | 'connect'

const introduce = (me: AgentKeysAndState, hello: Hello, challenge: string): Enroll | Connect => {
  const sign = (kind: 'enroll' | 'connect', subject: string): string =>
    Buffer.from(me.signing.sign(helloProof(kind, challenge, subject))).toString('base64url')
  if (hello === 'connect')
    return {
      type: 'connect',
      id: id<'message'>(),
      protocol: PROTOCOL,
      server: me.server,
      joins: me.joins,
      facts: FACTS,
      signature: sign('connect', me.server),
    }
  return {
    type: 'enroll',
    id: id<'message'>(),
    protocol: PROTOCOL,
    token: hello.token,
    facts: FACTS,
    signing_key: Buffer.from(me.signing.publicKey).toString('base64url'),
    box_key: me.boxKey,
    signature: sign('enroll', me.boxKey),
  }
}

type Without<R> = R extends unknown ? Omit<R, 'id'> : never
/** A report as a test writes it: its id is made when it is sent. */
export type Unsent = Without<Report>

export type ScriptedAgent = {
  readonly welcome: Promise<Welcome>
  /** Why the connection ended. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  /** Runs that heartbeats list; empty: none is being worked on. */
  runs: { run: string; epoch: number }[]
  /** Sends a report; returns its id. */
  tell(report: Unsent): string
  /** Sends a report and gives its answer, whatever that is. */
  ask(report: Unsent): Promise<Order>
  /** The next order of this type: also one that came before. */
  next<T extends keyof Orders>(type: T): Promise<Orders[T]>
  /** Reads nothing more from its socket, until what it returns is called. */
  pause(): () => void
  /** No heartbeats any more. */
  hush(): void
  /** No heartbeats, and none on its way, until what it gives is called: an offer meanwhile is not made anew. */
  quiet(): Promise<() => void>
  close(): Promise<void>
}

export const connectAgent = (url: string, me: AgentKeysAndState, hello: Hello): ScriptedAgent => {
  const socket = new WebSocket(url)
  const welcome = Promise.withResolvers<Welcome>()
  const closed = Promise.withResolvers<{ code: number; reason: string }>()
  welcome.promise.catch(() => undefined)
  const orders: Order[] = []
  const waiting: { wants: (order: Order) => boolean; take: (order: Order) => void }[] = []
  let state: AgentState = openAgent(PROTOCOL, performance.now())

  const give = (order: Order): void => {
    const place = waiting.findIndex(({ wants }) => wants(order))
    if (place === -1) orders.push(order)
    else waiting.splice(place, 1)[0]!.take(order)
  }
  const expect = async (wants: (order: Order) => boolean): Promise<Order> => {
    const place = orders.findIndex(wants)
    if (place !== -1) return orders.splice(place, 1)[0]!
    return new Promise((take, reject) => {
      waiting.push({ wants, take })
      void closed.promise.then(({ code, reason }) => {
        reject(new Error(`the connection closed while an order was awaited: ${code} ${reason}`))
      })
    })
  }
  const perform = (effect: AgentEffect): void => {
    switch (effect.kind) {
      case 'send':
        if (socket.readyState === WebSocket.OPEN) socket.send(encode(effect.message))
        return
      case 'challenged':
        feed({ kind: 'introduce', message: introduce(me, hello, effect.message.challenge) })
        return
      case 'opened':
        me.server = effect.message.server
        me.joins = effect.message.joins
        welcome.resolve(effect.message)
        return
      case 'turned-away':
        welcome.reject(new Error(effect.problem.code))
        return
      case 'deliver':
        give(effect.message)
        return
      case 'beat':
        agent.tell({ type: 'heartbeat', runs: agent.runs })
        return
      case 'close':
        socket.close(effect.code, effect.reason)
        return
    }
  }
  const feed = (event: AgentEvent): void => {
    const [next, effects] = stepAgent(state, event, performance.now())
    state = next
    for (const effect of effects) perform(effect)
  }
  const agent: ScriptedAgent = {
    welcome: welcome.promise,
    closed: closed.promise,
    runs: [],
    tell: (report) => {
      const message: Report = { ...report, id: id<'message'>() }
      feed({ kind: 'send', message })
      return message.id
    },
    ask: async (report) => {
      const message = agent.tell(report)
      return expect((order) => order.re === message)
    },
    next: async (type) => {
      const found = await expect((order) => order.type === type)
      return found as Orders[typeof type]
    },
    pause: () => {
      socket.pause()
      return () => socket.resume()
    },
    hush: () => clearInterval(timer),
    quiet: async () => {
      clearInterval(timer)
      await agent.ask({ type: 'heartbeat', runs: agent.runs })
      return () => (timer = beat())
    },
    close: async () => {
      feed({ kind: 'leave', because: 'stopped', reason: 'the test is over' })
      await closed.promise
    },
  }
  const beat = (): NodeJS.Timeout => setInterval(() => feed({ kind: 'tick' }), 200)
  let timer = beat()
  socket.on('message', (data: Buffer) => feed({ kind: 'frame', frame: data.toString('utf8') }))
  socket.on('error', () => undefined)
  socket.on('close', (code, reason) => {
    clearInterval(timer)
    feed({ kind: 'lost' })
    closed.resolve({ code, reason: reason.toString() })
    welcome.reject(new Error(`closed ${code}`))
  })
  return agent
}

/** The PUT of a grant, with exactly its headers, or others in their place. */
export const putGranted = async (
  grant: Pick<Grant, 'url' | 'headers'>,
  body: Uint8Array,
): Promise<{ readonly status: number; readonly etag: string }> => {
  // fetch sets these two by itself, to the same values.
  const headers = Object.fromEntries(
    Object.entries(grant.headers).filter(([name]) => !['host', 'content-length'].includes(name)),
  )
  const response = await fetch(grant.url, { method: 'PUT', headers, body: Buffer.from(body) })
  await response.arrayBuffer()
  return { status: response.status, etag: response.headers.get('etag') ?? '' }
}
