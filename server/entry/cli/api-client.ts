/** The command line's way to the control plane: the REST API and nothing else. */
import { setTimeout as sleep } from 'node:timers/promises'
import { parser, type Static, type TSchema, Type } from '#shared/schema.ts'
import { Problem } from '#shared/api/problem.ts'
import { type Details, fail, isErrorCode, problemOf } from '#shared/errors.ts'
import { SECOND } from '#shared/units.ts'

export type Api = {
  readonly url: string
  /** `data` of the answer, checked against `schema`; a problem of the API is thrown under its own code. */
  get<S extends TSchema>(path: string, schema: S, stop: AbortSignal): Promise<Static<S>>
  post<S extends TSchema>(
    path: string,
    body: unknown,
    schema: S,
    stop: AbortSignal,
  ): Promise<Static<S>>
  patch<S extends TSchema>(
    path: string,
    body: unknown,
    schema: S,
    stop: AbortSignal,
  ): Promise<Static<S>>
  remove(path: string, stop: AbortSignal): Promise<void>
  /** The whole answer, with its `meta`. */
  answer<S extends TSchema>(path: string, schema: S, stop: AbortSignal): Promise<Static<S>>
}

const DEADLINE = 30 * SECOND

const parseProblem = parser(Problem)

const unreachable = (url: string, error: unknown): Error => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return fail('CONTROL_PLANE_UNREACHABLE', { url, problem: problemOf(cause) }, { cause: error })
}

const isDetail = (value: unknown): value is Details[string] =>
  value === null || ['string', 'number', 'boolean'].includes(typeof value)

const detailsOf = (details: Readonly<Record<string, unknown>>): Details =>
  Object.fromEntries(
    Object.entries(details).filter((pair): pair is [string, Details[string]] => isDetail(pair[1])),
  )

const refusal = (url: string, status: number, body: unknown): Error => {
  const parsed = parseProblem(body)
  if ('ok' in parsed && isErrorCode(parsed.ok.error.code))
    return fail(parsed.ok.error.code, detailsOf(parsed.ok.error.details))
  return unreachable(url, new Error(`it answered with status ${status} and no problem of ours`))
}

type Request = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: unknown
}

const readJson = async (response: Response): Promise<unknown> => {
  try {
    return await response.json()
  } catch {
    return null
  }
}

const dataIn = (body: unknown): unknown =>
  typeof body === 'object' && body !== null && 'data' in body ? body.data : undefined

/** `token` goes into every request; `url` without a slash at its end. */
export const apiClient = (url: string, token: string): Api => {
  const ask = async (request: Request, stop: AbortSignal): Promise<unknown> => {
    let response: Response
    try {
      response = await fetch(`${url}${request.path}`, {
        method: request.method,
        redirect: 'error',
        signal: AbortSignal.any([stop, AbortSignal.timeout(DEADLINE)]),
        headers: {
          authorization: `Bearer ${token}`,
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      })
    } catch (error) {
      stop.throwIfAborted()
      throw unreachable(url, error)
    }
    const body = await readJson(response)
    if (response.status === 429) {
      // Others use the same token: come again when we are told to.
      const seconds = Number(response.headers.get('retry-after') ?? 1)
      await sleep(Math.min(60, Math.max(1, seconds)) * SECOND, undefined, { signal: stop })
      return ask(request, stop)
    }
    if (!response.ok) throw refusal(url, response.status, body)
    return body
  }
  const fitting = <S extends TSchema>(body: unknown, schema: S): Static<S> => {
    const parsed = parser(schema)(body)
    if ('ok' in parsed) return parsed.ok
    throw unreachable(url, new Error(`its answer has a wrong field: ${parsed.field}`))
  }
  const checked = <S extends TSchema>(body: unknown, schema: S): Static<S> =>
    fitting(dataIn(body), schema)
  return {
    url,
    get: async (path, schema, stop) => checked(await ask({ method: 'GET', path }, stop), schema),
    post: async (path, body, schema, stop) =>
      checked(await ask({ method: 'POST', path, body }, stop), schema),
    patch: async (path, body, schema, stop) =>
      checked(await ask({ method: 'PATCH', path, body }, stop), schema),
    remove: async (path, stop) => {
      await ask({ method: 'DELETE', path }, stop)
    },
    answer: async (path, schema, stop) => fitting(await ask({ method: 'GET', path }, stop), schema),
  }
}

/** `data` of a list. */
export const listOf = <S extends TSchema>(item: S): Type.TArray<S> => Type.Array(item)
