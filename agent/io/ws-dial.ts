/** The port `Dial` over WebSocket. */
import { WebSocket } from 'ws'
import { problemOf } from '#shared/errors.ts'
import { MAX_MESSAGE } from '#shared/protocol/fields.ts'
import { SECOND } from '#shared/units.ts'
import type { Dial } from '../ports.ts'

const HANDSHAKE_LIMIT = 15 * SECOND

/** A close code of a session; what the WebSocket protocol does not let a program send becomes 1000. */
const sendable = (code: number): number => (code >= 3000 || code === 1001 ? code : 1000)

export const dialWebSocket: Dial = (url, on) => {
  const socket = new WebSocket(url, {
    maxPayload: MAX_MESSAGE,
    perMessageDeflate: false,
    handshakeTimeout: HANDSHAKE_LIMIT,
    followRedirects: false,
  })
  let over = false
  const end = (problem: string): void => {
    if (over) return
    over = true
    on.closed(problem)
  }
  socket.on('message', (data, isBinary) => {
    if (isBinary || !Buffer.isBuffer(data)) socket.close(4400, 'frames are text')
    else on.frame(data.toString('utf8'))
  })
  socket.on('error', (error) => end(problemOf(error)))
  socket.on('close', (code, reason) => end(`${String(code)} ${reason.toString('utf8')}`.trim()))
  return {
    send: (frame) => socket.send(frame),
    close: (code, reason) => {
      if (socket.readyState === WebSocket.CONNECTING) socket.terminate()
      else socket.close(sendable(code), reason)
    },
    drop: () => socket.terminate(),
  }
}
