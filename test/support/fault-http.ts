/** What a fault proxy does with one HTTP request: passes it on as it came, `Host` included, or harms it. */
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FaultPlan, HttpFault } from './fault-plan.ts'

export type Passage = {
  readonly target: URL
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The request forgets its socket when that is closed. */
  readonly socket: Socket
}

/** In the words of S3. */
type Answer = { readonly status: number; readonly code: string; readonly message: string }

/** Where the middle of a body is whose length nobody said. */
const SOMEWHERE = 1000

const reset = ({ socket }: Passage): void => void socket.resetAndDestroy()

const halfOf = (headers: http.IncomingHttpHeaders): number => {
  const length = Number(headers['content-length'] ?? Number.NaN)
  return Number.isNaN(length) ? SOMEWHERE : Math.floor(length / 2)
}

const open = ({ target, request }: Passage): http.ClientRequest =>
  http.request({
    hostname: target.hostname,
    port: target.port,
    method: request.method,
    path: request.url,
    headers: request.rawHeaders,
    agent: false,
  })

const answerTo = async (onward: http.ClientRequest): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    onward.on('response', resolve)
    onward.on('error', reject)
  })

type Sink = {
  write(chunk: Buffer): boolean
  once(event: 'drain' | 'close', done: () => void): unknown
  off(event: 'drain' | 'close', done: () => void): unknown
}

/** Until it takes more, or never will. */
const hasRoom = async (to: Sink): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      to.off('drain', done)
      to.off('close', done)
      resolve()
    }
    to.once('drain', done)
    to.once('close', done)
  })

/** Bytes with back-pressure up to `limit`; true when that is where it stopped. */
const pump = async (from: IncomingMessage, to: Sink, limit = Infinity): Promise<boolean> => {
  let left = limit
  for await (const chunk of from.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) continue
    const part = chunk.length > left ? chunk.subarray(0, left) : chunk
    left -= part.length
    if (part.length > 0 && !to.write(part)) await hasRoom(to)
    if (left <= 0) return true
  }
  return false
}

/** The request in full, and the head of its answer. */
const forward = async (passage: Passage): Promise<IncomingMessage> => {
  const onward = open(passage)
  const answer = answerTo(onward)
  // Whoever refuses early (a wrong signature, a full disk) may not want the rest.
  const sent = pump(passage.request, onward).then(() => onward.end())
  sent.catch(() => onward.destroy())
  return answer
}

const pass = async (passage: Passage, change: (headers: string[]) => string[]): Promise<void> => {
  const { response } = passage
  const answer = await forward(passage)
  response.writeHead(answer.statusCode ?? 502, change(answer.rawHeaders))
  await pump(answer, response)
  response.end()
}

/** Resolves when there is a connection, or none came about. */
const connected = async (onward: http.ClientRequest): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const wait = (socket: Socket): void => {
    if (!socket.connecting) resolve(undefined)
    else socket.once('connect', () => resolve(undefined))
  }
  onward.once('error', () => resolve(undefined))
  if (onward.socket === null) onward.once('socket', wait)
  else wait(onward.socket)
  await promise
}

/** Half of the body; then `after` decides how the other end learns that there is no more. */
const passHalf = async (
  passage: Passage,
  after: (onward: http.ClientRequest) => void,
): Promise<IncomingMessage | null> => {
  const onward = open(passage)
  const answer = answerTo(onward)
  answer.catch(() => undefined)
  await pump(passage.request, onward, halfOf(passage.request.headers))
  await connected(onward)
  after(onward)
  return answer.catch(() => null)
}

const headOf = (answer: IncomingMessage): Buffer => {
  const { statusCode = 502, statusMessage = '', rawHeaders } = answer
  const lines = rawHeaders.flatMap((name, i) =>
    i % 2 === 0 ? [`${name}: ${rawHeaders[i + 1] ?? ''}`] : [],
  )
  return Buffer.from(`HTTP/1.1 ${statusCode} ${statusMessage}\r\n${lines.join('\r\n')}\r\n\r\n`)
}

/** Half of the answer in the raw: of its head where it has no body. */
const answerHalf = async (passage: Passage, end: (socket: Socket) => void): Promise<void> => {
  const { request, socket } = passage
  const answer = await forward(passage)
  const head = headOf(answer)
  const length = Number(answer.headers['content-length'] ?? Number.NaN)
  const isEmpty = request.method === 'HEAD' || length === 0 || answer.statusCode === 204
  if (isEmpty) socket.write(head.subarray(0, Math.floor(head.length / 2)))
  else {
    socket.write(head)
    await pump(answer, socket, halfOf(answer.headers))
  }
  answer.destroy()
  end(socket)
}

const refuse = ({ request, response }: Passage, { status, code, message }: Answer): void => {
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message><RequestId>0000000000000000</RequestId><HostId>proxy</HostId></Error>`
  // A store may refuse before it has read the body; what is left of it goes nowhere.
  request.resume()
  response.writeHead(status, {
    'content-type': 'application/xml',
    'content-length': Buffer.byteLength(text),
    'x-amz-request-id': '0000000000000000',
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

const WRONG = '"00000000000000000000000000000000"'

const withWrongEtag = (headers: string[]): string[] =>
  headers.map((text, i) => (i % 2 === 1 && headers[i - 1]?.toLowerCase() === 'etag' ? WRONG : text))

/** Until whoever asks has had enough. */
const hang = async ({ socket }: Passage): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve()
    else socket.once('close', () => resolve())
  })

const same = (headers: string[]): string[] => headers

type Harm = (passage: Passage, plan: FaultPlan) => Promise<void>

const answered =
  (answer: Answer): Harm =>
  async (passage) => {
    refuse(passage, answer)
    await Promise.resolve()
  }

const truncateRequest: Harm = async (passage) => {
  const { request, response } = passage
  const answer = await passHalf(passage, (onward) => onward.socket?.end())
  if (answer === null) {
    reset(passage)
    return
  }
  request.resume()
  response.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
  await pump(answer, response)
  response.end()
}

const HARMS: Readonly<Record<HttpFault, Harm>> = {
  delay: async (passage, plan) => {
    await sleep(plan.pause())
    await pass(passage, same)
  },
  cut: async (passage) => {
    reset(passage)
    await Promise.resolve()
  },
  'cut-request': async (passage) => {
    await passHalf(passage, (onward) => onward.socket?.resetAndDestroy())
    reset(passage)
  },
  'cut-response': async (passage) => answerHalf(passage, (socket) => void socket.resetAndDestroy()),
  'truncate-request': truncateRequest,
  'truncate-response': async (passage) => answerHalf(passage, (socket) => void socket.end()),
  'error-500': answered({
    status: 500,
    code: 'InternalError',
    message: 'We encountered an internal error. Please try again.',
  }),
  'slow-down': answered({
    status: 503,
    code: 'SlowDown',
    message: 'Please reduce your request rate.',
  }),
  forbidden: answered({ status: 403, code: 'AccessDenied', message: 'Access Denied' }),
  hang,
  'wrong-etag': async (passage) => pass(passage, withWrongEtag),
  'lost-answer': async (passage) => {
    ;(await forward(passage)).resume()
    reset(passage)
  },
}

/** Settles when the request is over, one way or the other. */
export const passOn = async (passage: Passage, plan: FaultPlan): Promise<void> => {
  const { request } = passage
  const { method = 'GET', url: path = '/' } = request
  const fault = plan.request({ method, path })
  try {
    await (fault === null ? pass(passage, same) : HARMS[fault](passage, plan))
  } catch {
    // The other end failed, or whoever asked is gone: it shows as what it is, a broken connection.
    reset(passage)
  }
}
