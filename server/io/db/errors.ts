import { type Failure, fail, problemOf } from '#shared/errors.ts'
import postgres from 'postgres'

// What postgres.js and the sockets below it say when there is no usable connection.
const NO_CONNECTION = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'CONNECT_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EACCES',
  'EPIPE',
  'ETIMEDOUT',
  'SASL_SIGNATURE_MISMATCH',
])

// SQLSTATE classes and codes after which the same statement can succeed on another connection or later:
// 08 connection, 28 authorization, 3D000 no such database, 25006 read-only (a standby after a failover), 53 out of
// connections, memory or disk, 57P01..5 shutting down, crashed, starting up, 57014 over the statement timeout, 58 the
// system under the server.
const UNAVAILABLE = /^(08...|28...|3D000|25006|53...|57P0[1-5]|57014|58...)$/

const codeOf = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null

/** The SQLSTATE that the server gave, or null for anything that is not an answer of the server. */
export const sqlState = (error: unknown): string | null =>
  error instanceof postgres.PostgresError ? error.code : null

/** The name of the unique, check or foreign key constraint that `error` speaks of, or null. */
export const brokenConstraint = (error: unknown): string | null =>
  error instanceof postgres.PostgresError && error.code.startsWith('23')
    ? (error.constraint_name ?? null)
    : null

/** Serialization failure or deadlock: the whole transaction may simply be tried again. */
export const isRetryable = (error: unknown): boolean =>
  ['40001', '40P01'].includes(sqlState(error) ?? '')

/** A server that is still starting up or replaying its log (57P03). */
export const isStartingUp = (error: unknown): boolean => sqlState(error) === '57P03'

/** True where the error means that this connection has nothing more to give. */
export const isConnectionError = (error: unknown): boolean => {
  const code = codeOf(error)
  if (code === null) return false
  return sqlState(error) === null
    ? NO_CONNECTION.has(code)
    : /^(08...|28...|3D000|25006|57P0[1-5])$/.test(code)
}

/** `DATABASE_UNAVAILABLE` with the original as cause. */
export const unavailable = (problem: string, cause?: unknown): Failure =>
  fail('DATABASE_UNAVAILABLE', { problem }, { cause })

/** `DATABASE_UNAVAILABLE` for errors of the connection and of an overloaded server; every other error as it is. */
export const translate = (error: unknown): unknown => {
  const code = codeOf(error)
  if (code === null) return error
  const known = sqlState(error) === null ? NO_CONNECTION.has(code) : UNAVAILABLE.test(code)
  return known ? unavailable(problemOf(error), error) : error
}
