/**
 * GET of a range of an object over connections that are kept. `node:http` takes less CPU time than `fetch` does. No
 * redirect is followed: it could lead anywhere, with a signature made for this place.
 */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as httpRequest,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { release } from '#shared/format/bytes.ts'

/** Those of this thread; what is idle holds no process back. */
const AGENTS = {
  http: new HttpAgent({ keepAlive: true }),
  https: new HttpsAgent({ keepAlive: true }),
}

type Range = { readonly start: number; readonly end: number }

const begin = (url: URL, { start, end }: Range, signal: AbortSignal): ClientRequest => {
  const range = `bytes=${String(start)}-${String(end - 1)}`
  const how = { headers: { range, 'accept-encoding': 'identity' }, signal }
  return url.protocol === 'https:'
    ? httpsRequest(url, { ...how, agent: AGENTS.https })
    : httpRequest(url, { ...how, agent: AGENTS.http })
}

const answerTo = async (request: ClientRequest): Promise<IncomingMessage> =>
  await new Promise((resolve, reject) => {
    request.on('response', resolve)
    request.on('error', reject)
    request.end()
  })

/** The answer, whose body waits to be read or destroyed. */
export const getRange = async (
  url: string,
  range: Range,
  signal: AbortSignal,
): Promise<IncomingMessage> => {
  for (;;) {
    const request = begin(new URL(url), range, signal)
    try {
      return await answerTo(request)
    } catch (error) {
      // The server has closed a kept connection at the moment when it was used again: others may be left.
      if (signal.aborted || !request.reusedSocket) throw error
    }
  }
}

/** `out` is filled, unless more or less comes: then the answer is what is not 0, the bytes too many or too few. */
export const readInto = async (
  response: IncomingMessage,
  out: Uint8Array,
  heard: () => void,
): Promise<number> => {
  let got = 0
  let isOver = false
  return await new Promise((resolve, reject) => {
    response.on('data', (part: Buffer) => {
      // By then the memory may serve somebody else.
      if (isOver) return
      heard()
      const room = out.length - got
      got += part.length
      if (part.length <= room) out.set(part, got - part.length)
      else response.destroy()
      release(part)
    })
    response.on('error', (error) => {
      isOver = true
      reject(error)
    })
    response.on('close', () => {
      isOver = true
      if (response.complete || got > out.length) resolve(got - out.length)
      else reject(new Error('the connection was closed in the middle'))
    })
  })
}
