import { fail, problemOf } from '#shared/errors.ts'
import { DAY, SECOND } from '#shared/units.ts'
import { Kysely, PostgresDialect } from 'kysely'
import postgres from 'postgres'
import { createPool } from './pool.ts'
import type { Schema } from './schema.ts'

/** A server somewhere (`DATABASE_URL`), or one that listens in a folder of this machine. */
export type DatabaseAddress =
  | { readonly url: string }
  | { readonly socket: string; readonly user: string; readonly database: string }

export type DatabaseOptions = {
  /** Connections of this process: every transaction holds one. 1 to 100, default 10. */
  readonly maxConnections?: number
  /** In ms, default 60 s. 0: none. */
  readonly statementTimeout?: number
}

/** Single statements and LISTEN, on a connection of its own. Transactions go through `db`: see pool.ts for why. */
export type RawSql = Pick<postgres.Sql, 'listen' | 'notify' | 'unsafe'>

export type Database = {
  readonly db: Kysely<Schema>
  readonly sql: RawSql
  /** Lets running statements finish for at most 5 s, then closes every connection. */
  close(): Promise<void>
}

const LOCK_TIMEOUT = 15 * SECOND
const IDLE_IN_TRANSACTION_TIMEOUT = 60 * SECOND
const STATEMENT_TIMEOUT = 60 * SECOND
const ACQUIRE_DEADLINE = 30 * SECOND
const CONNECT_TIMEOUT = 10 * SECOND
const CLOSE_DEADLINE = 5 * SECOND

const SOCKET_PORT = 5432 // only the name of the socket file: no port is opened

/** int8 (OID 20) as JavaScript numbers: sizes, counts and pack numbers are below 2^53, and anything else is refused. */
const int8 = {
  to: 20,
  from: [20],
  parse: (text: string): number => {
    const value = Number(text)
    if (!Number.isSafeInteger(value)) throw new RangeError(`int8 ${text} is beyond 2^53`)
    return value
  },
  serialize: (value: unknown): string => {
    const fits = typeof value === 'number' ? Number.isSafeInteger(value) : typeof value !== 'object'
    if (!fits) throw new RangeError(`${String(value)} is no int8`)
    return String(value)
  },
}

const place = (
  address: DatabaseAddress,
): postgres.Options<Record<string, postgres.PostgresType>> =>
  'url' in address
    ? {}
    : {
        path: `${address.socket}/.s.PGSQL.${SOCKET_PORT}`,
        user: address.user,
        database: address.database,
        ssl: false, // whatever PGSSL in the environment says
      }

const parseUrl = (text: string): string => {
  // The text may hold a password: it is not repeated.
  const problem = 'is not a URL like postgres://user:password@host:5432/database'
  if (!URL.canParse(text)) throw fail('VALIDATION_FAILED', { field: 'DATABASE_URL', problem })
  const { protocol } = new URL(text)
  if (protocol !== 'postgres:' && protocol !== 'postgresql:')
    throw fail('VALIDATION_FAILED', { field: 'DATABASE_URL', problem })
  return text
}

type Target = { readonly url: string; readonly path?: string }

/** `?host=/folder`, as libpq has it, is a socket in that folder; postgres.js would hand `host` on to the server. */
const targetOf = (text: string): Target => {
  const url = new URL(parseUrl(text))
  const folder = url.searchParams.get('host')
  if (folder?.startsWith('/') !== true) return { url: text }
  url.searchParams.delete('host')
  const port = url.port === '' ? SOCKET_PORT : url.port
  return { url: url.href, path: `${folder}/.s.PGSQL.${port}` }
}

const client = (
  address: DatabaseAddress,
  options: postgres.Options<Record<string, postgres.PostgresType>>,
): postgres.Sql => {
  const all = { ...place(address), ...options }
  if (!('url' in address)) return postgres(all)
  const { url, ...path } = targetOf(address.url)
  return postgres(url, { ...all, ...path })
}

/**
 * Connects when first used. int8 are numbers (beyond 2^53: refused), bytea are Uint8Array, timestamptz are Date,
 * jsonb are plain values: hand over the object, never its JSON text. Errors of the connection are
 * `DATABASE_UNAVAILABLE`; what the server refuses stays postgres.js's error (see errors.ts). A transaction whose
 * connection is lost fails at its next statement and never goes on outside.
 */
export const openDatabase = (address: DatabaseAddress, options: DatabaseOptions = {}): Database => {
  const statementTimeout = options.statementTimeout ?? STATEMENT_TIMEOUT
  const common = {
    max: 1,
    idle_timeout: 0,
    max_lifetime: null,
    connect_timeout: CONNECT_TIMEOUT / SECOND,
    onnotice: () => undefined,
    types: { int8 },
    connection: {
      application_name: 'holdfast',
      TimeZone: 'UTC',
      statement_timeout: statementTimeout,
      lock_timeout: LOCK_TIMEOUT,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT,
    },
  }
  const pool = createPool({
    open: (closed) => client(address, { ...common, onclose: closed }),
    maxConnections: options.maxConnections ?? 10,
    acquireDeadline: ACQUIRE_DEADLINE,
    queryDeadline: statementTimeout === 0 ? DAY : statementTimeout + CONNECT_TIMEOUT,
  })
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
  const sql = client(address, common)
  return {
    db,
    sql,
    close: async () => {
      await Promise.all([pool.end(), sql.end({ timeout: CLOSE_DEADLINE / SECOND })])
    },
  }
}

/** The address for people and logs: without the password. */
export const showAddress = (address: DatabaseAddress): string => {
  if (!('url' in address)) return `${address.socket} (${address.database})`
  try {
    const url = new URL(address.url)
    return `${url.host}${url.pathname}`
  } catch (error) {
    return problemOf(error)
  }
}
