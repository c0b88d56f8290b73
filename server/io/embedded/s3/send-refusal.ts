import type { IncomingMessage, ServerResponse } from 'node:http'
import { MiB, SECOND, type Ms } from '#shared/units.ts'
import { errnoOf } from './disk.ts'
import { refusalDocument, type Refusal, type RefusalFields } from './refusal.ts'

type Refused = {
  readonly message: IncomingMessage
  readonly response: ServerResponse
  readonly refusal: Refusal
  /** The request's signature was right. */
  readonly trusted: boolean
}

/**
 * How much of a refused body is read and dropped before the answer: most clients look for one only when they have sent all,
 * and a connection closed on them earlier loses it.
 */
const DROP_TRUSTED = 64 * MiB
const DROP_OTHERS = MiB
const PATIENCE: Ms = 5 * SECOND
const PATIENCE_IN_ALL: Ms = 30 * SECOND

/** The other end is not there any more: nothing to report, nobody to answer. */
export const wentAway = (error: unknown): boolean =>
  ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'].includes(
    errnoOf(error),
  )

/** True when the body has been read to its end, so that the connection can serve another request. */
const dropBody = async (message: IncomingMessage, limit: number): Promise<boolean> => {
  const length = Number(message.headers['content-length'] ?? Number.NaN)
  const bodiless = Number.isNaN(length) && message.headers['transfer-encoding'] === undefined
  if (message.complete || bodiless || length === 0) return true
  // Asked for permission and refused: the body never comes, or is already on its way; either way the connection is spent.
  if (message.headers.expect !== undefined || length > limit) return false
  let dropped = 0
  const since = performance.now()
  message.socket.setTimeout(PATIENCE)
  try {
    for await (const piece of message.iterator({ destroyOnReturn: false })) {
      dropped += Buffer.isBuffer(piece) ? piece.length : 0
      if (dropped > limit || performance.now() - since > PATIENCE_IN_ALL) return false
    }
    return message.complete
  } catch {
    return false
  }
}

/** Answers with the refusal's document. An answer that has begun can only be cut short. */
export const sendRefusal = async (refused: Refused, also: RefusalFields): Promise<void> => {
  const { message, response, refusal, trusted } = refused
  const reusable = await dropBody(message, trusted ? DROP_TRUSTED : DROP_OTHERS)
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = Buffer.from(refusalDocument(refusal, also))
  message.socket.setTimeout(PATIENCE)
  response.writeHead(refusal.status, {
    'content-type': 'application/xml',
    'content-length': body.length,
    ...(reusable ? {} : { connection: 'close' }),
  })
  response.end(message.method === 'HEAD' ? undefined : body)
}
