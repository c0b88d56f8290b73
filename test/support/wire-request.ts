/** One request with exactly these headers and bytes, on a connection of its own, and what came back. */
import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import type { WireRequest } from './grant-misuse.ts'

export type WireAnswer = {
  readonly status: number
  /** The Code of an error document. */
  readonly code: string
}

/** A store that refuses by the headers alone may answer and close before a larger body is through, and the answer is lost. */
const LARGE = 1024 * 1024
const PATIENCE_MS = 250

const answerOf = async (response: IncomingMessage): Promise<WireAnswer> => {
  const pieces: Buffer[] = []
  for await (const piece of response) if (Buffer.isBuffer(piece)) pieces.push(piece)
  const text = Buffer.concat(pieces).toString('latin1')
  return { status: response.statusCode ?? 0, code: /<Code>(\w+)<\/Code>/.exec(text)?.[1] ?? '' }
}

const sendBody = (request: ClientRequest, body: Buffer): void => {
  if (body.length <= LARGE) {
    request.end(body)
    return
  }
  request.flushHeaders()
  const timer = setTimeout(() => request.end(body), PATIENCE_MS)
  request.once('response', () => clearTimeout(timer))
}

export const sendOnWire = async (
  port: number,
  { method, url: path, headers, body }: WireRequest,
): Promise<WireAnswer> =>
  new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path, method, headers, agent: false })
    request.on('error', reject)
    request.on('response', (response) => {
      answerOf(response)
        .then(resolve, reject)
        .finally(() => request.destroy())
    })
    sendBody(request, body)
  })
