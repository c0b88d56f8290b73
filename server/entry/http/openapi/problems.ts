/** Which errors an operation answers: those that follow from what it takes, and those that its route names. */
import { CATALOGUE, describe, type Details, type ErrorCode } from '#shared/errors.ts'
import type { Problem } from '#shared/api/problem.ts'
import { BODY_LIMIT } from '../problems.ts'

export type Takes = {
  readonly token: boolean
  /** Ids in its path. */
  readonly place: boolean
  readonly body: boolean
  /** `Idempotency-Key`. */
  readonly key: boolean
  /** Query or headers. */
  readonly parameters: boolean
}

/** In the order of their statuses. */
export const problemsOf = (takes: Takes, more: readonly ErrorCode[]): readonly ErrorCode[] => {
  const { token, place, body, key, parameters } = takes
  const all = new Set<ErrorCode>([
    ...(token || place || body || parameters ? (['VALIDATION_FAILED'] as const) : []),
    ...(token ? (['UNAUTHENTICATED', 'PERMISSION_DENIED'] as const) : []),
    ...(place ? (['RESOURCE_NOT_FOUND'] as const) : []),
    ...(key ? (['CONFLICT', 'OPERATION_IN_PROGRESS'] as const) : []),
    ...(body ? (['PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE'] as const) : []),
    ...(token ? (['RATE_LIMITED', 'INTERNAL', 'DATABASE_UNAVAILABLE'] as const) : []),
    ...more,
  ])
  return [...all].toSorted((a, b) => CATALOGUE[a].status - CATALOGUE[b].status)
}

const ID = '0192b1c4-7d3e-7a51-9c46-5f0e8a2b6c11'

/** What stands in the places of the messages, in the examples. */
const DETAILS: Readonly<Record<string, string | number>> = {
  dependents: '2 jobs',
  field: 'name',
  id: ID,
  job_id: ID,
  limit: 10,
  operation: 'backup',
  problem: 'is required',
  resource: 'backup',
  scope: 'admin',
  server: 'web-1',
  status: 'running',
  storage: 'local',
  verb: 'GET',
  version: 7,
  what: 'servers',
}

const detailsOf = (code: ErrorCode): Details => {
  if (code === 'PAYLOAD_TOO_LARGE') return { limit: BODY_LIMIT }
  if (code === 'RATE_LIMITED') return { retry_after_seconds: 30 }
  const places = [...CATALOGUE[code].what.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  return Object.fromEntries(places.map((name) => [name, DETAILS[name] ?? name]))
}

/** An answer with this code, as the envelope of API.md has it. */
export const problemSample = (code: ErrorCode): Problem => {
  const details = detailsOf(code)
  return {
    error: { code, message: describe(code, details), details: { ...details } },
    request_id: '0192b1c4-7d3e-7a51-9c46-5f0e8a2b6c3f',
  }
}
