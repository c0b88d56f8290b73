import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { fail, problemOf } from '#shared/errors.ts'
import { KiB, MINUTE, SECOND, type Ms } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import { closeDisk, errnoOf, openDisk, type Disk } from './disk.ts'
import { authenticate } from './signature.ts'
import { addCorsHeaders, preflight } from './cors.ts'
import { parseRequest, type S3Request } from './request.ts'
import { Refusal, refuse } from './refusal.ts'
import { sendRefusal, wentAway } from './send-refusal.ts'
import { route } from './routes.ts'

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

type Serving = {
  readonly settings: S3Settings
  readonly limits: S3Limits
  readonly disk: Disk
}

const MAX_HEADERS = 64 * KiB
const MAX_CONNECTIONS = 1024

const refusalOf = ({ settings }: Serving, error: unknown, id: string): Refusal => {
  if (error instanceof Refusal) return error
  const problem = problemOf(error)
  if (FULL.has(errnoOf(error))) {
    settings.log.error({ id, problem }, 'the disk of the s3 endpoint is full')
    return refuse('SlowDown', 'There is no space left on the disk of this endpoint.')
  }
  if (!wentAway(error)) settings.log.error({ id, problem }, 's3 request failed')
  return refuse('InternalError')
}

const FULL = new Set(['ENOSPC', 'EDQUOT'])

const clientOf = (
  message: IncomingMessage,
  response: ServerResponse,
  idle: Ms,
): S3Request['client'] => ({
  expectMore: () => {
    message.socket.setTimeout(idle)
    if (message.headers.expect !== undefined) response.writeContinue()
  },
  busy: () => message.socket.setTimeout(0),
  expectReading: () => message.socket.setTimeout(idle),
})

/** Checks who asks, then does it. `trust` is called in between. */
const perform = async (
  { settings, disk, limits }: Serving,
  message: IncomingMessage,
  response: ServerResponse,
  trust: () => void,
): Promise<void> => {
  const { host, keys, region, clock } = settings
  const client = clientOf(message, response, limits.idle)
  const request = parseRequest(message, client, host)
  if (request.method === 'OPTIONS') {
    await preflight({ disk, request, response })
    return
  }
  await addCorsHeaders({ disk, request, response })
  const { payload } = authenticate(request, { keys, region, now: clock.now() })
  trust()
  client.busy()
  await route(request)({ disk, region, request, payload, response })
}

const handle = async (
  serving: Serving,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> => {
  const { settings } = serving
  const { method = '', url = '' } = message
  const path = url.split('?', 1)[0] ?? ''
  const id = randomBytes(8).toString('hex').toUpperCase()
  const begun = settings.clock.monotonic()
  let trusted = false
  response.setHeader('x-amz-request-id', id)
  try {
    await perform(serving, message, response, () => {
      trusted = true
    })
  } catch (error) {
    const refusal = refusalOf(serving, error, id)
    await sendRefusal({ message, response, refusal, trusted }, { Resource: path, RequestId: id })
  }
  const took = Math.round(settings.clock.monotonic() - begun)
  settings.log.debug({ id, method, path, status: response.statusCode, took }, 's3')
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
  const serving = { settings, limits, disk }
  const answerOne = (message: IncomingMessage, response: ServerResponse): void => {
    handle(serving, message, response).catch((error: unknown) => {
      settings.log.error({ problem: problemOf(error) }, 's3 request could not be answered')
      response.destroy()
    })
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
