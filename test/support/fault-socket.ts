/** What a fault proxy does with a WebSocket: passes its messages on, either way, or harms them. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RawData, WebSocket } from 'ws'
import type { FaultPlan, SocketFault } from './fault-plan.ts'

export type Relay = {
  /** Both ends are closed. */
  readonly over: Promise<unknown>
  /** From now on nothing passes, and nobody is told. */
  freeze(): void
  /** Both ends lose their connection, without a farewell. */
  cut(): void
}

/** Close codes that a program may send. */
const sendable = (code: number): number => (code === 1000 || code >= 3000 ? code : 1001)

const textOf = (data: RawData): string => {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8')
  return (Buffer.isBuffer(data) ? data : Buffer.from(data)).toString('utf8')
}

type Line = {
  readonly plan: FaultPlan
  readonly path: string
  readonly ends: readonly [WebSocket, WebSocket]
  /** Below the client's end. */
  readonly socket: Socket
  frozen: boolean
}

const terminate = ({ ends }: Line): void => {
  for (const end of ends) end.terminate()
}

/** True when the message is to be passed on. */
const harm = async (line: Line, fault: SocketFault | null): Promise<boolean> => {
  switch (fault) {
    case null:
      return true
    case 'socket-delay':
      await sleep(line.plan.pause())
      return true
    case 'socket-drop':
      return false
    case 'socket-hang':
      line.frozen = true
      return false
    case 'socket-cut':
      line.socket.resetAndDestroy()
      terminate(line)
      return false
    case 'socket-end':
      terminate(line)
      return false
  }
}

/** Messages of one direction, one after the other, and last of all the farewell. */
const direct = (line: Line, from: WebSocket, to: WebSocket): void => {
  let last: Promise<void> = Promise.resolve()
  const then = (work: () => Promise<void> | void): void => {
    last = last.then(work).catch(() => terminate(line))
  }
  from.on('message', (data) =>
    then(async () => {
      const text = textOf(data)
      if (line.frozen || !(await harm(line, line.plan.message(line.path, text)))) return
      // A delay may outlast the connection.
      if (to.readyState === WebSocket.OPEN) to.send(text)
    }),
  )
  from.on('close', (code, reason) =>
    then(() => {
      if (line.frozen) return
      if (to.readyState === WebSocket.CONNECTING) to.terminate()
      else to.close(sendable(code), reason)
    }),
  )
  from.on('error', () => undefined) // `close` follows
}

/** Joins a client that has just come in to a connection of its own to the other end. */
export const relay = (
  { request, client, target }: { request: IncomingMessage; client: WebSocket; target: URL },
  plan: FaultPlan,
): Relay => {
  const path = request.url ?? '/'
  client.pause() // until the other end is there
  const onward = new WebSocket(`ws://${target.host}${path}`, {
    perMessageDeflate: false,
    handshakeTimeout: 10_000,
  })
  const line: Line = {
    plan,
    path,
    ends: [client, onward],
    socket: request.socket,
    frozen: false,
  }
  onward.on('open', () => client.resume())
  direct(line, client, onward)
  direct(line, onward, client)
  const gone = async (end: WebSocket): Promise<void> =>
    new Promise((resolve) => end.once('close', () => resolve()))
  return {
    over: Promise.all([gone(client), gone(onward)]),
    freeze: () => {
      line.frozen = true
    },
    cut: () => {
      request.socket.resetAndDestroy()
      terminate(line)
    },
  }
}
