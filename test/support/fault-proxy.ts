/**
 * Stands in front of an S3 endpoint or a control plane and does to what passes what its plan says. It forwards requests as
 * they came, so that what was signed for the proxy's address stays signed: that address is the endpoint of the storage.
 */
import http from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import { passOn } from './fault-http.ts'
import type { FaultPlan } from './fault-plan.ts'
import { relay, type Relay } from './fault-socket.ts'

export type FaultProxy = {
  readonly url: string
  readonly port: number
  readonly plan: FaultPlan
  /** WebSockets that are open now. */
  sockets(): number
  /** Resets every open connection. */
  cut(): void
  /** Nothing passes any more on the WebSockets that are open; new ones work. */
  freeze(): void
  /** Nobody listens at the address any more, and every connection is reset. */
  down(): Promise<void>
  /** Listens again at the same address. */
  up(): Promise<void>
  close(): Promise<void>
}

const listen = async (server: http.Server, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => {
      server.removeListener('error', reject)
      const address = server.address()
      resolve(address !== null && typeof address === 'object' ? address.port : 0)
    })
  })

type Open = { readonly connections: Set<Socket>; readonly relays: Set<Relay> }

const serverFor = (target: URL, plan: FaultPlan, open: Open): http.Server => {
  const server = http.createServer((request, response) => {
    void passOn({ target, request, response, socket: request.socket }, plan)
  })
  // What hangs is to hang for as long as whoever asks has patience.
  Object.assign(server, { requestTimeout: 0, headersTimeout: 0, timeout: 0 })
  const incoming = new WebSocketServer({ noServer: true, perMessageDeflate: false })
  server.on('connection', (socket) => {
    open.connections.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => open.connections.delete(socket))
  })
  server.on('upgrade', (request, socket, head) => {
    incoming.handleUpgrade(request, socket, head, (client) => {
      const line = relay({ request, client, target }, plan)
      open.relays.add(line)
      void line.over.then(() => open.relays.delete(line))
    })
  })
  return server
}

/** `to`: an address of the form `http://host:port`. */
export const startFaultProxy = async (to: string, plan: FaultPlan): Promise<FaultProxy> => {
  const target = new URL(to)
  const open: Open = { connections: new Set(), relays: new Set() }
  const cut = (): void => {
    for (const line of open.relays) line.cut()
    for (const socket of open.connections) socket.resetAndDestroy()
  }
  let server = serverFor(target, plan, open)
  const port = await listen(server, 0)
  const down = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve())
    })
    cut()
    await closed
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    plan,
    sockets: () => open.relays.size,
    cut,
    freeze: () => {
      for (const line of open.relays) line.freeze()
    },
    down,
    up: async () => {
      server = serverFor(target, plan, open)
      await listen(server, port)
    },
    close: async () => (server.listening ? down() : undefined),
  }
}
