/** The HTTP side put together: security headers, ids, authentication, validation, routes; nothing is decided here. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import helmet from '@fastify/helmet'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type RawServerDefault,
} from 'fastify'
import { MAX_FILE_ID } from '#shared/api/file-ids.ts'
import { fail } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import type { Tokens } from '../../ports.ts'
import { authenticate } from './auth.ts'
import { answerOnce, type IdempotencyParts } from './idempotency.ts'
import { openReference } from './openapi/reference.ts'
import { BODY_LIMIT, sendProblem } from './problems.ts'
import { validateWithSchemas } from './validate.ts'

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export type AppParts = {
  readonly tokens: Tokens
  readonly log: Log
  readonly requestsPerMinute: number
  /** Addresses of proxies whose X-Forwarded-For counts; none by default. */
  readonly trustProxy?: readonly string[]
  makeRequestId(): string
  /** Without it, `Idempotency-Key` is not heard. */
  readonly once?: IdempotencyParts
}

/** Adds routes to the app. Every route declares `config: { scope }`; one without does not start. */
export type Routes = (app: App) => void | Promise<void>

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/

const given = (request: IncomingMessage): string | null => {
  const id = request.headers['x-request-id']
  return typeof id === 'string' && REQUEST_ID.test(id) ? id : null
}

const logRequests = (app: App, log: Log): void => {
  app.addHook('onResponse', async (request, reply) => {
    log.debug(
      {
        request: request.id,
        method: request.method,
        route: request.routeOptions.url ?? 'unknown',
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'answered',
    )
    return Promise.resolve()
  })
}

/** Not yet listening: call `listen`, or `inject` in tests; `close` ends it. */
export const buildApp = async (parts: AppParts, routes: readonly Routes[]): Promise<App> => {
  const problem = sendProblem(parts.log)
  const app: App = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT,
    requestIdHeader: false,
    genReqId: (request: IncomingMessage) => given(request) ?? parts.makeRequestId(),
    trustProxy: parts.trustProxy === undefined ? false : [...parts.trustProxy],
    // The id of a file of the longest path.
    routerOptions: { maxParamLength: MAX_FILE_ID },
    frameworkErrors: (error, request, reply) => void problem(error, request, reply),
  }).withTypeProvider<TypeBoxTypeProvider>()

  app.setErrorHandler(problem)
  app.setNotFoundHandler(async (request, reply) => {
    const [path] = request.url.split('?')
    await problem(
      fail('RESOURCE_NOT_FOUND', { resource: 'route', id: `${request.method} ${path ?? ''}` }),
      request,
      reply,
    )
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
    // Answers are about now, and some hold a secret that is shown once.
    reply.header('cache-control', 'no-store')
    return Promise.resolve()
  })
  logRequests(app, parts.log)
  // Whether there is TLS is decided in front of us: no promise of it, and no upgrade to it, is made here.
  await app.register(helmet, {
    hsts: false,
    contentSecurityPolicy: {
      // By default helmet lets styles and fonts come from anywhere.
      directives: {
        upgradeInsecureRequests: null,
        styleSrc: ["'self'", "'unsafe-inline'"],
        fontSrc: ["'self'", 'data:'],
        connectSrc: ["'self'"],
      },
    },
  })
  validateWithSchemas(app)
  openReference(app)
  await authenticate(app, parts)
  if (parts.once !== undefined) answerOnce(app, parts.once)
  for (const add of routes) await add(app)
  await app.ready()
  return app
}
