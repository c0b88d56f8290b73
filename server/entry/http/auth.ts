/** Who is calling, and may they: bearer tokens, one scope a route, a budget of requests a token (API.md). */
import rateLimit from '@fastify/rate-limit'
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { SCOPES, type Scope, TOKEN_PATTERN } from '#shared/api/tokens.ts'
import { type ErrorCode, fail } from '#shared/errors.ts'
import { SECOND } from '#shared/units.ts'
import type { Caller } from '../../core/caller.ts'
import type { Tokens } from '../../ports.ts'

/** What a route asks of its caller. `public`: nothing; `agent`: the route authenticates on its own. */
export type RouteScope = Scope | 'public' | 'agent'

declare module 'fastify' {
  // Only an interface can be added to.
  // eslint-disable-next-line @typescript-eslint/consistent-type-definitions
  interface FastifyContextConfig {
    scope?: RouteScope
    /** Another one that will do. */
    or?: Scope
    /** What is not of one project is not for a token of one. */
    of?: 'organization'
    /** Errors that do not follow from what the route takes, for the document. */
    problems?: readonly ErrorCode[]
  }
}

const ROUTE_SCOPES: readonly string[] = [...SCOPES, 'public', 'agent'] satisfies RouteScope[]
const TOKEN = new RegExp(TOKEN_PATTERN)
const BEARER = /^Bearer +(\S+) *$/i

const isRouteScope = (value: unknown): value is RouteScope =>
  typeof value === 'string' && ROUTE_SCOPES.includes(value)

export const declaredScope = (config: FastifyContextConfig | undefined): RouteScope | null =>
  isRouteScope(config?.scope) ? config.scope : null

const presented = (request: FastifyRequest): string | null => {
  const token = BEARER.exec(request.headers.authorization ?? '')?.[1]
  return token !== undefined && TOKEN.test(token) ? token : null
}

const callers = new WeakMap<FastifyRequest, Caller>()

/** The authenticated caller; a handler of a route with a scope always has one. */
export const callerOf = (request: FastifyRequest): Caller => {
  const caller = callers.get(request)
  if (caller === undefined) throw fail('UNAUTHENTICATED')
  return caller
}

const rechecks = new WeakMap<FastifyRequest, () => Promise<boolean>>()

/** For an answer that lasts: whether the token of a request is still valid, with what its route asks. */
export const stillAllowed = async (request: FastifyRequest): Promise<boolean> =>
  (await rechecks.get(request)?.()) ?? false

const budgetKey = (request: FastifyRequest): string => {
  const caller = callers.get(request)
  return caller === undefined ? `ip:${request.ip}` : `token:${caller.token}`
}

export type AuthOptions = { readonly tokens: Tokens; readonly requestsPerMinute: number }

type Budget = (request: FastifyRequest, reply: FastifyReply) => Promise<void>

const makeBudget = (app: FastifyInstance, max: number): Budget => {
  const take = app.createRateLimit({
    max,
    timeWindow: 60 * SECOND,
    keyGenerator: budgetKey,
  })
  return async (request, reply) => {
    const state = await take(request)
    if (state.isAllowed) return
    reply.header('x-ratelimit-limit', state.max)
    reply.header('x-ratelimit-remaining', state.remaining)
    reply.header('x-ratelimit-reset', state.ttlInSeconds)
    if (!state.isExceeded) return
    reply.header('retry-after', state.ttlInSeconds)
    throw fail('RATE_LIMITED', { retry_after_seconds: state.ttlInSeconds })
  }
}

/** Failed attempts draw on the budget of their address. */
export const authenticate = async (app: FastifyInstance, options: AuthOptions): Promise<void> => {
  await app.register(rateLimit, { global: false })
  const spend = makeBudget(app, options.requestsPerMinute)
  app.addHook('onRoute', (route) => {
    if (declaredScope(route.config) === null)
      throw new Error(`the route ${String(route.method)} ${route.url} declares no scope`)
  })
  app.addHook('onRequest', async (request, reply) => {
    if (request.is404) return
    const scope = declaredScope(request.routeOptions.config)
    if (scope === 'public' || scope === 'agent') return
    const token = presented(request)
    const caller = token === null ? null : await options.tokens.find(token)
    if (caller !== null) callers.set(request, { ...caller, request: request.id })
    await spend(request, reply)
    if (caller === null) throw fail('UNAUTHENTICATED')
    const { or } = request.routeOptions.config
    const suffices = ({ scopes }: Caller): boolean =>
      scopes.some((one) => one === scope || one === or)
    if (scope === null || !suffices(caller))
      throw fail('PERMISSION_DENIED', { scope: scope ?? 'none', scopes: caller.scopes })
    if (caller.project !== null && request.routeOptions.config.of === 'organization')
      throw fail('PERMISSION_DENIED', {
        scope: `${scope} of the whole organization`,
        scopes: caller.scopes,
        project_id: caller.project,
      })
    rechecks.set(request, async () => {
      const now = token === null ? null : await options.tokens.find(token)
      return now !== null && suffices(now)
    })
  })
}
