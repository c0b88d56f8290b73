import type { PostgresCursor, PostgresPoolClient, PostgresQueryResult } from 'kysely'
import type postgres from 'postgres'
import { isConnectionError, translate, unavailable } from './errors.ts'

/**
 * `gone` is set as soon as the connection closes and never unset: postgres.js would connect again by itself, and the
 * rest of a transaction would then run outside of it.
 */
export type Session = { readonly sql: postgres.Sql; gone: boolean }

type Parameter = postgres.ParameterOrJSON<never>

const SENDABLE = new Set(['string', 'number', 'boolean', 'bigint', 'object'])

const isSendable = (value: unknown): value is Parameter => SENDABLE.has(typeof value)

const COMMANDS = ['UPDATE', 'DELETE', 'INSERT', 'MERGE', 'COMMIT', 'ROLLBACK'] as const

/** Closes the session now; whatever waits for its answer fails. */
export const discard = (session: Session): void => {
  session.gone = true
  void session.sql.end({ timeout: 0 })
}

/** Awaits `work`, or closes the session and throws when nothing is heard for `deadline` ms. */
const within = async <T>(deadline: number, session: Session, work: Promise<T>): Promise<T> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(unavailable(`no answer within ${deadline} ms`))
    discard(session)
  }, deadline)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** postgres.js leaves `stack` read-only, and Kysely writes its own part to it: without this every error is a TypeError. */
const withWritableStack = (error: unknown): unknown =>
  error instanceof Error
    ? Object.defineProperty(error, 'stack', { value: error.stack, writable: true })
    : error

const runOn = async <R>(
  session: Session,
  deadline: number,
  text: string,
  values: Parameter[],
): Promise<PostgresQueryResult<R>> => {
  if (session.gone) {
    // The transaction went with its connection; a failing `rollback` would only hide the error that caused it.
    if (text === 'rollback') return { command: 'ROLLBACK', rowCount: 0, rows: [] }
    throw unavailable('the connection of this transaction was lost')
  }
  try {
    const pending = session.sql.unsafe<R[]>(text, values)
    const result = await within(deadline, session, pending)
    const command = COMMANDS.find((known) => known === result.command) ?? 'SELECT'
    return { command, rowCount: result.count, rows: [...result] }
  } catch (error) {
    if (isConnectionError(error)) discard(session)
    throw withWritableStack(translate(error))
  }
}

const checked = (values: readonly unknown[]): Parameter[] =>
  values.map((value, at) => {
    if (isSendable(value)) return value
    throw new TypeError(`parameter $${at + 1} is ${typeof value}`)
  })

/** What Kysely is handed for as long as it holds the session; `giveBack` is called once. */
export const clientOf = (
  session: Session,
  deadline: number,
  giveBack: (session: Session, destroy: boolean) => void,
): PostgresPoolClient => {
  let held = true
  // Kysely asks for both; cursors are not offered, because every list is read page by page.
  function query<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>>
  function query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>
  function query<R>(
    text: string | PostgresCursor<R>,
    values: readonly unknown[] = [],
  ): Promise<PostgresQueryResult<R>> | PostgresCursor<R> {
    if (typeof text !== 'string') throw new TypeError('cursors are not supported')
    return runOn(session, deadline, text, checked(values))
  }
  const release = (destroy = false): void => {
    if (held) giveBack(session, destroy)
    held = false
  }
  return { query, release }
}
