import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { migrate } from '#server/io/db/migrate.ts'
import { type Database, type DatabaseAddress, openDatabase } from '#server/io/db/open.ts'
import { ensureDatabase } from '#server/io/db/probe.ts'
import { type Postgres, startPostgres } from '#server/io/embedded/postgres/start.ts'
import { memoryLog } from './log.ts'
import { advanceClock, CLOCK } from './moved-clock.ts'
import { quickFolder } from './quick-folder.ts'

/**
 * Databases for tests: one embedded server per test file (started by the first `testDatabase()`, stopped after its last
 * test), one migrated template in it, one copy of that for each call (some 30 ms).
 */
export type TestDatabase = Database & {
  readonly address: DatabaseAddress
  /** What `hf_now()` answers from here on, in every session: `at`, standing still. */
  freezeClock(at: Date): Promise<void>
  /** Moves `hf_now()` on by `ms`, standing still or not. */
  advanceClock(ms: number): Promise<void>
  close(): Promise<void>
}

type Server = { readonly postgres: Postgres; readonly folder: string }

const TEMPLATE = 'template_holdfast'

const on = (server: Postgres, database: string): DatabaseAddress => {
  if ('url' in server.connect) throw new Error('the embedded server has a socket')
  return { ...server.connect, database }
}

const startServer = async (): Promise<Server> => {
  const folder = await mkdtemp(join(quickFolder(), 'hf-test-pg-'))
  const settings = { folder, log: memoryLog(), clock: systemClock }
  const postgres = await startPostgres(settings, new AbortController().signal)
  const template = on(postgres, TEMPLATE)
  if ('url' in template) throw new Error('the embedded server has a socket')
  await ensureDatabase(template, TEMPLATE)
  const database = openDatabase(template)
  await migrate(database.db, memoryLog())
  await sql.raw(CLOCK).execute(database.db)
  await database.close()
  return { postgres, folder }
}

let server: Promise<Server> | null = null
let count = 0

/** For programs that are no test file. */
export const stopDatabases = async (): Promise<void> => {
  if (server === null) return
  const { postgres, folder } = await server
  server = null
  await postgres.close()
  await rm(folder, { recursive: true, force: true })
}

if (process.env['VITEST'] !== undefined) afterAll(stopDatabases)

/** A fresh, migrated, empty database. `close()` closes the connections; the database goes with the server. */
export const testDatabase = async (): Promise<TestDatabase> => {
  server ??= startServer()
  const { postgres } = await server
  count += 1
  const name = `test_${count}`
  const admin = openDatabase(postgres.connect, { maxConnections: 1 })
  await sql.raw(`create database ${name} template ${TEMPLATE}`).execute(admin.db)
  await admin.close()
  const address = on(postgres, name)
  const database = openDatabase(address)
  const { db } = database
  return {
    ...database,
    address,
    freezeClock: async (at) => {
      await sql`update test_clock set frozen = ${at}, shift = '0'`.execute(db)
    },
    advanceClock: async (ms) => advanceClock(db, ms),
  }
}
