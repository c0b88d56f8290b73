/** Stands between two ends and writes down all that passes: HTTP requests with their answers, WebSocket messages. */
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { type RawData, WebSocket, WebSocketServer } from 'ws'

export type Exchange = {
  readonly method: string
  readonly path: string
  /** As they came: names and values in turn. */
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
  readonly status: number
  readonly answerHeaders: IncomingHttpHeaders
  readonly answer: Buffer
}

/** All of one exchange as bytes, to be searched. */
export const bytesOfExchange = (exchange: Exchange): Buffer => {
  const { method, path, rawHeaders, body, answerHeaders, answer } = exchange
  const head = [method, path, ...rawHeaders, JSON.stringify(answerHeaders)].join('\n')
  return Buffer.concat([Buffer.from(head), body, answer])
}

export type Message = { readonly from: 'client' | 'server'; readonly text: string }

export type Recorder = {
  /** Where clients come in. */
  readonly url: string
  readonly port: number
  readonly exchanges: readonly Exchange[]
  readonly messages: readonly Message[]
  close(): Promise<void>
}

const wholeOf = async (message: IncomingMessage): Promise<Buffer> => {
  const pieces: Buffer[] = []
  for await (const piece of message) if (Buffer.isBuffer(piece)) pieces.push(piece)
  return Buffer.concat(pieces)
}

type Forwarded = Pick<Exchange, 'status' | 'answerHeaders' | 'answer'>

/** The same bytes with the same headers, `Host` among them: what was signed for the recorder's address stays so. */
const forward = async (
  target: URL,
  message: IncomingMessage,
  body: Buffer,
): Promise<Forwarded & { readonly raw: string[] }> =>
  new Promise((resolve, reject) => {
    const { method, url: path, rawHeaders: headers } = message
    const { hostname, port } = target
    const request = http.request({ hostname, port, method, path, headers, agent: false })
    request.on('error', reject)
    request.on('response', (response) => {
      const { statusCode: status = 0, headers: answerHeaders, rawHeaders: raw } = response
      wholeOf(response).then((answer) => resolve({ status, answerHeaders, answer, raw }), reject)
    })
    request.end(body)
  })

const textOf = (data: RawData): string => {
  if (Array.isArray(data)) return Buffer.concat(data).toString('utf8')
  return (Buffer.isBuffer(data) ? data : Buffer.from(data)).toString('utf8')
}

/** Close codes that a program may send. */
const sendable = (code: number): number => (code === 1000 || code >= 3000 ? code : 1001)

const relay = (client: WebSocket, server: WebSocket, messages: Message[]): void => {
  const waiting: string[] = []
  client.on('message', (data) => {
    const text = textOf(data)
    messages.push({ from: 'client', text })
    if (server.readyState === WebSocket.OPEN) server.send(text)
    else waiting.push(text)
  })
  server.on('open', () => {
    for (const text of waiting.splice(0)) server.send(text)
  })
  server.on('message', (data) => {
    const text = textOf(data)
    messages.push({ from: 'server', text })
    client.send(text)
  })
  client.on('close', (code, reason) => {
    if (server.readyState === WebSocket.CONNECTING) server.terminate()
    else server.close(sendable(code), reason)
  })
  server.on('close', (code, reason) => client.close(sendable(code), reason))
  client.on('error', () => server.terminate())
  server.on('error', () => client.terminate())
}

/** Bodies are held whole: for tests only. */
export const startRecorder = async (to: string): Promise<Recorder> => {
  const target = new URL(to)
  const exchanges: Exchange[] = []
  const messages: Message[] = []
  const take = async (message: IncomingMessage, response: http.ServerResponse): Promise<void> => {
    const body = await wholeOf(message)
    const { raw, ...answered } = await forward(target, message, body)
    const { method = '', url: path = '', rawHeaders } = message
    exchanges.push({ method, path, rawHeaders, body, ...answered })
    response.writeHead(answered.status, raw)
    response.end(answered.answer)
  }
  const server = http.createServer((message, response) => {
    take(message, response).catch(() => response.destroy())
  })
  const sockets = new WebSocketServer({ noServer: true })
  server.on('upgrade', (message, socket, head) => {
    const { method = '', url: path = '', rawHeaders } = message
    const [body, answer] = [Buffer.alloc(0), Buffer.alloc(0)]
    exchanges.push({ method, path, rawHeaders, body, status: 101, answerHeaders: {}, answer })
    const upstream = new WebSocket(`ws://${target.host}${message.url ?? ''}`)
    sockets.handleUpgrade(message, socket, head, (client) => relay(client, upstream, messages))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()))
  const address = server.address()
  const port = address !== null && typeof address === 'object' ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    exchanges,
    messages,
    close: async () => {
      for (const client of sockets.clients) client.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
