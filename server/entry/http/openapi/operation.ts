/** One route as an operation of the document: what its schemas leave unsaid follows from its scope and its path. */
import type { FastifyContextConfig, FastifySchema, RouteOptions } from 'fastify'
import { CATALOGUE, type ErrorCode } from '#shared/errors.ts'
import { Problem } from '#shared/api/problem.ts'
import { declaredScope } from '../auth.ts'
import { marked } from './components.ts'
import { tagOf } from './names.ts'
import { problemsOf } from './problems.ts'

/** The name of the scheme by which tokens come. */
export const TOKEN_SCHEME = 'token'

/** The codes of an operation by status, also for programs. */
export const PROBLEMS = 'x-problem-codes'

type Described = { readonly schema: FastifySchema; readonly url: string }

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

const field = (value: unknown, name: string): unknown => (isObject(value) ? value[name] : undefined)

const SUCCESS: Readonly<Record<string, string>> = {
  200: 'done',
  201: 'made',
  202: 'begun: it is followed by polling, or by its events',
  204: 'done; there is nothing to show',
}

const answer = (status: string, schema: unknown): unknown => {
  const description = field(schema, 'description')
  const said = typeof description === 'string' ? description : (SUCCESS[status] ?? 'an answer')
  if (field(schema, 'content') !== undefined) return marked(schema)
  if (field(schema, 'type') === 'null') return { type: 'null', description: said }
  return { description: said, content: { 'application/json': { schema: marked(schema) } } }
}

const refusal = (codes: readonly ErrorCode[]): unknown => ({
  description: codes.map((code) => `\`${code}\`: ${CATALOGUE[code].what}`).join('\n\n'),
  content: { 'application/json': { schema: marked(Problem) } },
})

type ByStatus = Readonly<Record<string, readonly ErrorCode[]>>

const byStatus = (problems: readonly ErrorCode[]): ByStatus =>
  Object.fromEntries(Map.groupBy(problems, (code) => String(CATALOGUE[code].status)))

const answers = (response: unknown, problems: ByStatus): Readonly<Record<string, unknown>> => {
  const good = isObject(response) ? Object.entries(response) : []
  return Object.fromEntries([
    ...good.map(([status, schema]) => [status, answer(status, schema)] as const),
    ...Object.entries(problems).map(([status, codes]) => [status, refusal(codes)] as const),
  ])
}

const scopesOf = (config: FastifyContextConfig | undefined): readonly string[] =>
  [config?.scope, config?.or].filter((scope) => scope !== undefined)

type Route = Pick<RouteOptions, 'config' | 'method'>

/** The same without what is not there. */
const given = (parts: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined))

/** Heard by one hook for all routes (idempotency.ts), so no route says that it takes it. */
const KEY = {
  type: 'object',
  properties: {
    'idempotency-key': {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x21-\\x7e]+$',
      description: 'the same key and body get the same answer for 24 hours; another body gets 409',
      examples: ['deploy-4711'],
    },
  },
}

const inputs = ({ params, querystring, headers, body }: FastifySchema): FastifySchema =>
  given({
    params: marked(params),
    querystring: marked(querystring),
    headers: marked(headers),
    body:
      body === undefined
        ? undefined
        : { content: { 'application/json': { schema: marked(body) } } },
  })

const named = (
  { operationId, tags, summary, description }: FastifySchema,
  url: string,
): FastifySchema => given({ operationId, tags: tags ?? [tagOf(url)], summary, description })

const describe = (
  schema: FastifySchema,
  url: string,
  { config, method }: Route,
): Described['schema'] => {
  const isPublic = declaredScope(config) === 'public'
  const takesKey = !isPublic && [method].flat().includes('POST')
  const takes = {
    token: !isPublic,
    place: schema.params !== undefined,
    body: schema.body !== undefined,
    key: takesKey,
    parameters: schema.querystring !== undefined || schema.headers !== undefined,
  }
  const problems = byStatus(problemsOf(takes, config?.problems ?? []))
  return given({
    ...named(schema, url),
    [PROBLEMS]: problems,
    security: isPublic ? [] : scopesOf(config).map((one) => ({ [TOKEN_SCHEME]: [one] })),
    ...inputs(takesKey ? { ...schema, headers: KEY } : schema),
    response: answers(schema.response, problems),
  })
}

/** Routes of agents speak another protocol (PROTOCOL.md), and are not in the document. */
export const describeRoute = (
  schema: FastifySchema | undefined,
  url: string,
  route: Route,
): Described =>
  declaredScope(route.config) === 'agent' || schema === undefined || schema.hide === true
    ? { url, schema: { hide: true } }
    : { url, schema: describe(schema, url, route) }
