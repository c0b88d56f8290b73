/** Any operation of the document, asked of an app under test: what it is about, and a body that it takes, are put in. */
import { fileId } from '#shared/api/file-ids.ts'
import {
  type Document,
  documentOf,
  resolved,
  type Route,
  routesIn,
  type Schema,
} from './api-document.ts'
import { type Ids, goodBody } from './api-bodies.ts'
import { isObject } from './api-fields.ts'
import type { Answer } from './answers.ts'
import type { TestApp } from './http-app.ts'
import { newId } from './http-objects.ts'

export type Wish = {
  readonly ids?: Ids
  readonly token?: string | null
  readonly query?: string
  /** In place of the good one; a string is sent as it is, `null` is none. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export type Walk = {
  readonly document: Document
  readonly routes: readonly Route[]
  readonly ids: Ids
  /** Does not wait for streams that go on. */
  ask(route: Route, wish?: Wish): Promise<Answer>
}

export const nameOfRoute = ({ method, path }: Route): string => `${method} ${path}`

/** The kind of object that the id in its path is of. */
export const kindOf = ({ path }: Route): string => path.split('/')[2] ?? ''

export const hasPlace = ({ path }: Route): boolean => path.includes('{')
export const hasToken = ({ scopes }: Route): boolean => scopes.length > 0
export const hasBody = ({ operation }: Route): boolean => operation.requestBody !== undefined

const mediaOf = ({ operation }: Route) => operation.requestBody?.content['application/json']

/** With its references in place. */
export const bodySchema = (document: Document, route: Route): Schema => {
  const schema = resolved(document, mediaOf(route)?.schema)
  return isObject(schema) ? schema : {}
}

export const exampleOf = (route: Route): unknown => mediaOf(route)?.example

/** The id of the root of a backup. */
const ROOT = fileId('/')

const placeOf = (route: Route, ids: Ids): string =>
  route.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(name === 'id' ? (ids[kindOf(route)] ?? newId()) : (ids[name] ?? ROOT)),
  )

export const walkOver = (api: TestApp, ids: Ids): Walk => {
  const document = documentOf(api.app)
  const ask: Walk['ask'] = async (route, wish = {}) => {
    const { token = api.token, query, headers = {} } = wish
    const body = wish.body === undefined ? goodBody(route.operation.operationId, ids) : wish.body
    const isSent = body !== null && (hasBody(route) || wish.body !== undefined)
    const response = await api.app.inject({
      method: route.method as 'GET',
      url: `${placeOf(route, { ...ids, ...wish.ids })}${query === undefined ? '' : `?${query}`}`,
      headers: {
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(isSent ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(isSent ? { payload: typeof body === 'string' ? body : JSON.stringify(body) } : {}),
    })
    const isJson = String(response.headers['content-type']).startsWith('application/json')
    return {
      status: response.statusCode,
      body: isJson ? response.json<Record<string, unknown>>() : {},
      headers: response.headers,
    }
  }
  return { document, routes: routesIn(document), ids, ask }
}

/** The status of an answer with the code and the field of its error: `400 VALIDATION_FAILED name`. */
export const shortOf = ({ status, body }: Answer): string => {
  const error = isObject(body['error']) ? body['error'] : {}
  const details = isObject(error['details']) ? error['details'] : {}
  const words = [error['code'], details['field']].filter((part) => typeof part === 'string')
  return [String(status), ...words].join(' ')
}
