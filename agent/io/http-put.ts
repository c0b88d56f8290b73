/** The port `Upload`: one PUT of exactly the signed headers. No redirect is followed: a signature is for one place. */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as httpRequest,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { problemOf } from '#shared/errors.ts'
import type { Grant } from '#shared/protocol/orders.ts'
import { KiB, MINUTE } from '#shared/units.ts'
import type { Upload, UploadOutcome } from '../ports.ts'

/** Nothing moved for so long: the connection is given up. */
const IDLE = MINUTE
/** A single try, however slowly it moves. */
const LONGEST = 30 * MINUTE
const MOST_ANSWER = 16 * KiB

/** What may be different in a moment, although the store said no to the request. */
const PASSING = new Set([408, 409, 425, 429])

const codeIn = (body: string): string => /<Code>([A-Za-z]{1,64})<\/Code>/.exec(body)?.[1] ?? ''

const outcomeOf = (response: IncomingMessage, body: string): UploadOutcome => {
  const { statusCode = 0, headers } = response
  if (statusCode === 200 || statusCode === 201 || statusCode === 204) {
    const etag = headers.etag?.replaceAll('"', '') ?? ''
    return etag === ''
      ? { done: 'failed', problem: 'the store gave no ETag', regrant: false, lasting: true }
      : { done: 'stored', etag }
  }
  if (statusCode === 412) return { done: 'exists' }
  const code = codeIn(body)
  const passing = statusCode >= 500 || PASSING.has(statusCode) || code === 'RequestTimeout'
  const problem = `the store answered ${String(statusCode)} ${code}`.trim()
  return { done: 'failed', problem, regrant: statusCode === 403, lasting: !passing }
}

/** Reads the answer to its end, so that the connection can be used again. */
const readAnswer = async (response: IncomingMessage): Promise<string> => {
  let body = ''
  let size = 0
  for await (const chunk of response) {
    if (!Buffer.isBuffer(chunk)) continue
    size += chunk.length
    if (size <= MOST_ANSWER) body += chunk.toString('latin1')
  }
  return body
}

const exchange = async (request: ClientRequest, body: Uint8Array): Promise<UploadOutcome> =>
  await new Promise((resolve, reject) => {
    request.on('response', (response) => {
      readAnswer(response).then((text) => resolve(outcomeOf(response, text)), reject)
    })
    request.on('timeout', () => request.destroy(new Error('nothing moved for a minute')))
    request.on('error', reject)
    request.end(body)
  })

const failed = (error: unknown): UploadOutcome => ({
  done: 'failed',
  problem: problemOf(error),
  regrant: false,
  lasting: false,
})

export type HttpPut = { readonly upload: Upload; close(): void }

/** Connections are kept and used again until `close`. */
export const httpPut = (): HttpPut => {
  const agents = {
    http: new HttpAgent({ keepAlive: true }),
    https: new HttpsAgent({ keepAlive: true }),
  }
  const start = (grant: Grant, signal: AbortSignal): ClientRequest => {
    const url = new URL(grant.url)
    const how = { method: 'PUT', headers: grant.headers, signal, timeout: IDLE }
    return url.protocol === 'https:'
      ? httpsRequest(url, { ...how, agent: agents.https })
      : httpRequest(url, { ...how, agent: agents.http })
  }
  return {
    upload: async (grant, body, stop) => {
      try {
        const signal = AbortSignal.any([stop, AbortSignal.timeout(LONGEST)])
        return await exchange(start(grant, signal), body)
      } catch (error) {
        return failed(error)
      }
    },
    close: () => {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}
