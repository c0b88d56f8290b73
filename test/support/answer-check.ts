/**
 * Every answer of an app under test is held against the document that the app serves of itself: its status is one that
 * the operation names, its media type too, and its body has every field of the schema and no other. What a handler gives
 * is looked at before it becomes text, as making text drops and bends what does not fit. An answer that departs fails
 * the test that caused it.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { afterAll, afterEach } from 'vitest'
import type { Routes } from '#server/entry/http/app.ts'
import { parser, type TSchema } from '#shared/schema.ts'
import { type Document, documentOf, type Operation, resolved, type Schema } from './api-document.ts'

const isObject = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The schema of objects that have the fields of `schema` and no others. */
const closed = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(closed)
  if (!isObject(schema)) return schema
  const isOpen = isObject(schema['properties']) && schema['additionalProperties'] === undefined
  return {
    ...Object.fromEntries(Object.entries(schema).map(([key, part]) => [key, closed(part)])),
    ...(isOpen ? { additionalProperties: false } : {}),
  }
}

const departures: string[] = []

const throwAll = (): void => {
  const all = departures.splice(0)
  if (all.length > 0) throw new Error(`answers that the document does not have:\n${all.join('\n')}`)
}

afterEach(throwAll)
afterAll(throwAll)

/** What departs in `value`, or `null`. */
type Check = (value: unknown) => string | null

const checkBy = (document: Document, schema: unknown): Check => {
  const parse = parser(closed(resolved(document, schema)) as TSchema)
  return (value) => {
    const parsed = parse(value)
    return 'ok' in parsed ? null : `${parsed.field} ${parsed.problem}`
  }
}

export type AnswerCheck = {
  /** Of the component with this name. */
  component(name: string): Check
  /** `null`: the operation has no such answer. */
  media(operation: Operation, status: number, type: string): Check | null
}

/** Each schema is compiled once. */
export const answerCheckBy = (document: Document): AnswerCheck => {
  const made = new Map<unknown, Check>()
  const of = (schema: Schema): Check => {
    const check = made.get(schema) ?? checkBy(document, schema)
    made.set(schema, check)
    return check
  }
  return {
    component: (name) => of(document.components.schemas[name] ?? {}),
    media: (operation, status, type) => {
      const media = operation.responses[String(status)]?.content?.[type]
      return media === undefined ? null : of(media.schema)
    },
  }
}

const REFERENCE = /^\/docs(\/|$)/

type Seen = { readonly request: FastifyRequest; readonly reply: FastifyReply }

const typeOf = (reply: FastifyReply): string =>
  String(reply.getHeader('content-type') ?? '').split(';')[0] ?? ''

const isStream = (payload: unknown): boolean => isObject(payload) && 'pipe' in payload

/** The code of an error that the operation does not name with this status. */
const otherCode = (operation: Operation, status: number, payload: unknown): string | null => {
  const codes = operation['x-problem-codes']?.[String(status)]
  if (codes === undefined) return null
  const error = isObject(payload) && isObject(payload['error']) ? payload['error'] : {}
  const code = String(error['code'])
  return codes.includes(code) ? null : code
}

/** Added before all routes. */
export const checkAnswers: Routes = (app) => {
  let known: { readonly document: Document; readonly check: AnswerCheck } | null = null
  const knowledge = (): NonNullable<typeof known> => {
    const document = known?.document ?? documentOf(app)
    known ??= { document, check: answerCheckBy(document) }
    return known
  }
  const operationOf = ({ method, routeOptions }: FastifyRequest): Operation | undefined => {
    const path = (routeOptions.url ?? '').replace(/:(\w+)/g, '{$1}')
    const verb = method === 'HEAD' ? 'get' : method.toLowerCase()
    return knowledge().document.paths[path]?.[verb]
  }
  const problemIn = ({ request, reply }: Seen, payload: unknown): string | null => {
    const { check } = knowledge()
    if (request.is404 || request.routeOptions.url === undefined)
      return check.component('Problem')(payload)
    const operation = operationOf(request)
    if (operation === undefined) return 'the operation is not in the document'
    const answer = operation.responses[String(reply.statusCode)]
    if (answer === undefined) return 'the operation does not have this status'
    if (payload === null || payload === '')
      return answer.content === undefined || request.method === 'HEAD' ? null : 'a body is missing'
    const of = check.media(operation, reply.statusCode, typeOf(reply))
    if (of === null) return `the operation does not have ${typeOf(reply)} with this status`
    const other = otherCode(operation, reply.statusCode, payload)
    if (other !== null) return `the operation does not have the error ${other}`
    return isStream(payload) ? null : of(payload)
  }
  const look = (seen: Seen, payload: unknown): void => {
    const { request, reply } = seen
    if (REFERENCE.test(request.url)) return
    const problem = problemIn(seen, payload)
    const line = `${request.method} ${request.url} ${reply.statusCode}: ${problem ?? ''}`
    if (problem !== null && !departures.includes(line)) departures.push(line)
  }
  app.addHook('preSerialization', async (request, reply, payload) => {
    look({ request, reply }, JSON.parse(JSON.stringify(payload)))
    return Promise.resolve(payload)
  })
  app.addHook('onSend', async (request, reply, payload) => {
    const isJson = typeof payload === 'string' && typeOf(reply) === 'application/json'
    look({ request, reply }, isJson && payload !== '' ? JSON.parse(payload) : (payload ?? null))
    return Promise.resolve(payload)
  })
}
