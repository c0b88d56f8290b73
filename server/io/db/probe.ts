import { problemOf } from '#shared/errors.ts'
import postgres from 'postgres'
import { isStartingUp, sqlState, translate } from './errors.ts'

/** A server in a folder of this machine, before any database of ours. */
export type ProbeAddress = { readonly socket: string; readonly user: string }

export type Answer =
  | { readonly is: 'ready'; readonly version: string }
  | { readonly is: 'starting' }
  | { readonly is: 'silent'; readonly problem: string }

const connect = ({ socket, user }: ProbeAddress): postgres.Sql =>
  postgres({
    path: `${socket}/.s.PGSQL.5432`,
    user,
    database: 'postgres',
    max: 1,
    connect_timeout: 5,
    fetch_types: false,
    ssl: false,
    onnotice: () => undefined,
  })

const using = async <T>(
  address: ProbeAddress,
  work: (sql: postgres.Sql) => Promise<T>,
): Promise<T> => {
  const sql = connect(address)
  try {
    return await work(sql)
  } finally {
    await sql.end({ timeout: 1 })
  }
}

/** Asks the server one question; it answers, it says that it is starting, or there is nothing. */
export const askServer = async (address: ProbeAddress): Promise<Answer> => {
  try {
    const version = await using(address, async (sql) => {
      const [row] = await sql<{ server_version: string }[]>`show server_version`
      return row?.server_version ?? 'unknown'
    })
    return { is: 'ready', version }
  } catch (error) {
    return isStartingUp(error) ? { is: 'starting' } : { is: 'silent', problem: problemOf(error) }
  }
}

// It was there, or another process made it at the same time (then the catalogue's unique index says so).
const EXISTS = ['42P04', '23505']

/** Creates the database `name` if the server has none of this name. */
export const ensureDatabase = async (address: ProbeAddress, name: string): Promise<void> => {
  try {
    await using(address, async (sql) => {
      const there = await sql`select 1 from pg_database where datname = ${name}`
      if (there.length === 0) await sql`create database ${sql(name)}`
    })
  } catch (error) {
    if (!EXISTS.includes(sqlState(error) ?? '')) throw translate(error)
  }
}
