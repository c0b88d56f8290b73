/**
 * The port `Upload`: one PUT of exactly the signed headers. No redirect is followed: a signature is for one place. What the
 * store answers is hostile input: bounded, and without control characters where it is told to people.
 */
import { once } from 'node:events'
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as httpRequest,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { problemOf } from '#shared/errors.ts'
import type { Grant } from '#shared/protocol/orders.ts'
import { formatSpan, KiB } from '#shared/units.ts'
import { longestUpload, type Patience, PATIENCE } from '../core/patience.ts'
import type { Upload, UploadOutcome } from '../ports.ts'
import type { Throttle } from '../ports/throttle.ts'

const MOST_ANSWER = 16 * KiB
const MOST_WORDS = 300

/** What may be different in a moment, although the store said no to the request. */
const PASSING = new Set([408, 409, 425, 429])
/** Of a 400: the body did not come through, which says nothing against it. */
const BROKEN_OFF = new Set(['RequestTimeout', 'IncompleteBody'])

type Words = { readonly code: string; readonly text: string }

/** The store's own words: what an S3 error document says. */
const wordsIn = (body: string): Words => {
  const of = (name: string): string =>
    new RegExp(`<${name}>([^<]{1,${String(MOST_WORDS)}})`).exec(body)?.[1] ?? ''
  const message = of('Message')
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
  const code = /^[A-Za-z]{1,64}$/.exec(of('Code'))?.[0] ?? ''
  return { code, text: message === '' ? code : `${code} (${message})` }
}

const passing = (problem: string): UploadOutcome & { readonly done: 'failed' } => ({
  done: 'failed',
  problem,
  regrant: false,
  lasting: false,
  slow: false,
})

const outcomeOf = (response: IncomingMessage, body: string): UploadOutcome => {
  const { statusCode = 0, headers } = response
  if (statusCode === 200 || statusCode === 201 || statusCode === 204) {
    const etag = headers.etag?.replaceAll('"', '') ?? ''
    return etag === ''
      ? { ...passing('the store gave no ETag'), lasting: true }
      : { done: 'stored', etag }
  }
  if (statusCode === 412) return { done: 'exists' }
  const { code, text } = wordsIn(body)
  return {
    done: 'failed',
    problem: `the store answered ${String(statusCode)} ${text}`.trim(),
    regrant: statusCode === 403,
    lasting: statusCode < 500 && !PASSING.has(statusCode) && !BROKEN_OFF.has(code),
    slow: statusCode === 503 || statusCode === 429,
  }
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

const answerOf = async (request: ClientRequest, { idle }: Patience): Promise<UploadOutcome> =>
  await new Promise((resolve, reject) => {
    request.on('response', (response) => {
      readAnswer(response).then((text) => resolve(outcomeOf(response, text)), reject)
    })
    request.on('timeout', () => request.destroy(new Error(`nothing moved for ${formatSpan(idle)}`)))
    request.on('error', reject)
  })

/** Ends with the body, or when `stop` fires; what becomes of the request is for who waits for its answer. */
const send = async (
  request: ClientRequest,
  body: Uint8Array,
  [throttle, stop]: readonly [Throttle, AbortSignal],
): Promise<void> => {
  for (let at = 0; at < body.length;) {
    const end = at + (await throttle(body.length - at, stop))
    if (stop.aborted) return
    if (!request.write(body.subarray(at, end)) && end < body.length)
      await once(request, 'drain', { signal: stop })
    at = end
  }
  request.end()
}

/** No longer than the answer takes: the memory of the body is used again after that. */
const exchange = async (
  request: ClientRequest,
  body: Uint8Array,
  [throttle, patience]: readonly [Throttle, Patience],
): Promise<UploadOutcome> => {
  const over = new AbortController()
  const sending = send(request, body, [throttle, over.signal]).catch((error: unknown) => {
    if (!over.signal.aborted) request.destroy(error instanceof Error ? error : undefined)
  })
  try {
    return await answerOf(request, patience)
  } finally {
    over.abort()
    await sending
    // An answer that came before all was sent: nothing more is to follow on this connection.
    if (!request.writableEnded) request.destroy()
  }
}

const AT_ONCE: Throttle = async (most) => Promise.resolve(most)

export type HttpPut = { readonly upload: Upload; close(): void }

/** Connections are kept and used again until `close`. */
export const httpPut = (patience: Patience = PATIENCE, throttle: Throttle = AT_ONCE): HttpPut => {
  const agents = {
    http: new HttpAgent({ keepAlive: true }),
    https: new HttpsAgent({ keepAlive: true }),
  }
  const start = (grant: Grant, signal: AbortSignal): ClientRequest => {
    const url = new URL(grant.url)
    const how = { method: 'PUT', headers: grant.headers, signal, timeout: patience.idle }
    return url.protocol === 'https:'
      ? httpsRequest(url, { ...how, agent: agents.https })
      : httpRequest(url, { ...how, agent: agents.http })
  }
  return {
    upload: async (grant, body, stop) => {
      const limit = longestUpload(body.length, patience)
      const late = AbortSignal.timeout(limit)
      try {
        const request = start(grant, AbortSignal.any([stop, late]))
        return await exchange(request, body, [throttle, patience])
      } catch (error) {
        return passing(late.aborted ? `it took longer than ${formatSpan(limit)}` : problemOf(error))
      }
    },
    close: () => {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}
