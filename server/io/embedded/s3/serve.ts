import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { fail, problemOf } from '#shared/errors.ts'
import { KiB, MiB, MINUTE, SECOND, type Ms } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import { closeDisk, errnoOf, openDisk, type Disk } from './disk.ts'
import { authenticate } from './signature.ts'
import { parseRequest } from './request.ts'
import { Refusal, refuse } from './refusal.ts'
import { route } from './routes.ts'
import { errorDocument } from './xml.ts'

/** One folder served as S3 over HTTP, one sub-folder a bucket. */
export type S3Settings = {
  readonly folder: string
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly region: string
  /** Access key id → secret. Every key may do everything. */
  readonly keys: ReadonlyMap<string, string>
  readonly clock: Clock
  readonly log: Log
  readonly limits?: Partial<S3Limits>
}

/** How long a client may keep us waiting. */
export type S3Limits = {
  /** For the request line and all headers. */
  readonly headers: Ms
  /** Without a single byte either way during a request. */
  readonly idle: Ms
  /** Between two requests on one connection. */
  readonly keepAlive: Ms
}

const LIMITS: S3Limits = { headers: 20 * SECOND, idle: MINUTE, keepAlive: 65 * SECOND }

export type S3Server = { readonly port: number; close(): Promise<void> }

type Serving = { readonly settings: S3Settings; readonly disk: Disk }

/** After a refusal so much of the rest of the body is read and dropped, so that the client sees the answer; then we hang up. */
const LINGER_BYTES = 4 * MiB
const MAX_HEADERS = 64 * KiB
const MAX_CONNECTIONS = 1024

const sendRefusal = (
  request: IncomingMessage,
  response: ServerResponse,
  refusal: Refusal,
): void => {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = Buffer.from(
    errorDocument([
      ['Code', refusal.code],
      ['Message', refusal.message],
      ...Object.entries(refusal.fields),
      ['Resource', request.url?.split('?', 1)[0] ?? ''],
      ['RequestId', String(response.getHeader('x-amz-request-id'))],
    ]),
  )
  response.writeHead(refusal.status, {
    'content-type': 'application/xml',
    'content-length': body.length,
    ...(refusal.status === 412 || request.complete ? {} : linger(request)),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

const linger = (request: IncomingMessage): { connection?: string } => {
  const length = Number(request.headers['content-length'] ?? Number.NaN)
  const hasBody = request.headers['transfer-encoding'] !== undefined || length > 0
  if (!hasBody || length <= LINGER_BYTES) return {}
  return { connection: 'close' }
}

const wentAway = (error: unknown): boolean =>
  ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED'].includes(
    errnoOf(error),
  )

const refusalOf = ({ settings }: Serving, error: unknown, id: string): Refusal => {
  if (error instanceof Refusal) return error
  if (!wentAway(error)) {
    settings.log.error({ id, problem: problemOf(error), code: errnoOf(error) }, 's3 request failed')
  }
  return refuse('InternalError')
}

const handle = async (
  serving: Serving,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const { settings, disk } = serving
  const id = randomBytes(8).toString('hex').toUpperCase()
  response.setHeader('x-amz-request-id', id)
  const begun = settings.clock.monotonic()
  try {
    const request = parseRequest(message, settings.host)
    const { keys, region, clock } = settings
    const { payload } = authenticate(request, { keys, region, now: clock.now() })
    const action = route(request)
    if (message.headers.expect !== undefined) response.writeContinue()
    await action({ disk, region, request, payload, response })
  } catch (error) {
    sendRefusal(message, response, refusalOf(serving, error, id))
  }
  const { method = '', url = '' } = message
  const took = Math.round(settings.clock.monotonic() - begun)
  settings.log.debug(
    { id, method, path: url.split('?', 1)[0] ?? '', status: response.statusCode, took },
    's3',
  )
}

const listen = async (server: Server, { host, port }: S3Settings): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })

/**
 * Serves a folder as S3 until closed. Throws `STORAGE_UNAVAILABLE` when the folder cannot be used or the port is taken.
 * `close` lets running requests end for `limits.idle`, then cuts them.
 */
export const serveS3 = async (settings: S3Settings): Promise<S3Server> => {
  const limits = { ...LIMITS, ...settings.limits }
  const unavailable =
    (verb: string) =>
    (error: unknown): never => {
      throw fail(
        'STORAGE_UNAVAILABLE',
        { storage: settings.folder, verb, problem: problemOf(error) },
        { cause: error },
      )
    }
  const disk = await openDisk(settings.folder, settings.clock, settings.log).catch(
    unavailable('open'),
  )
  const serving = { settings, disk }
  const answerOne = (message: IncomingMessage, response: ServerResponse): void => {
    void handle(serving, message, response)
  }
  const server = createServer(
    {
      headersTimeout: limits.headers,
      requestTimeout: 0,
      keepAliveTimeout: limits.keepAlive,
      maxHeaderSize: MAX_HEADERS,
      connectionsCheckingInterval: Math.min(limits.headers, 5 * SECOND),
      noDelay: true,
    },
    answerOne,
  )
  server.on('checkContinue', answerOne)
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(limits.idle, (socket) => socket.destroy())
  const port = await listen(server, settings).catch(unavailable('listen'))
  return {
    port,
    close: async () => {
      await stop(server, limits.idle)
      await closeDisk(disk)
    },
  }
}

const stop = async (server: Server, patience: Ms): Promise<void> => {
  const ended = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = setTimeout(() => server.closeAllConnections(), patience)
  await ended
  clearTimeout(cut)
}
