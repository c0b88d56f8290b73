import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Migration, migrate, readMigrations } from '#server/io/db/migrate.ts'
import { type Database, openDatabase } from '#server/io/db/open.ts'
import { type ProbeAddress, ensureDatabase } from '#server/io/db/probe.ts'
import { id } from '../support/agent-world.ts'
import { testDatabase } from '../support/database-template.ts'
import { hasDebianPostgres, startDebianPostgres } from '../support/debian-postgres.ts'
import { memoryLog } from '../support/log.ts'

type Server = { readonly server: ProbeAddress; close(): Promise<void> }

const embedded = async (): Promise<Server> => {
  const { address, close } = { ...(await testDatabase()) }
  if ('url' in address) throw new Error('the embedded server has a socket')
  return { server: address, close: async () => close() }
}

const migration = (number: number, name: string, script: string): Migration => ({
  number,
  name,
  script,
  sha256: createHash('sha256').update(script).digest('hex'),
})

const suite = (start: () => Promise<Server>): void => {
  let server: Server
  let count = 0
  const opened: Database[] = []

  beforeAll(async () => {
    server = await start()
  })

  afterAll(async () => {
    for (const database of opened) await database.close()
    await server.close()
  })

  /** An empty database, and as many programs that use it as wanted. */
  const empty = async (programs = 1): Promise<Database[]> => {
    count += 1
    const database = `empty_${count}`
    await ensureDatabase(server.server, database)
    const { socket, user } = server.server
    const made = Array.from({ length: programs }, () => openDatabase({ socket, user, database }))
    opened.push(...made)
    return made
  }

  const tables = async ({ db }: Database): Promise<readonly string[]> => {
    const { rows } = await sql<{ name: string }>`
      select table_name as name from information_schema.tables
      where table_schema = 'public' order by 1`.execute(db)
    return rows.map(({ name }) => name)
  }

  test('three replicas that migrate at once apply every migration once', async () => {
    const replicas = await empty(3)
    const known = await readMigrations()
    const log = memoryLog()
    const done = await Promise.all(replicas.map(async ({ db }) => migrate(db, log)))
    expect(done.reduce((sum, one) => sum + one, 0)).toBe(known.length)
    const { rows } = await sql<{
      number: number
    }>`select number from hf_migrations order by 1`.execute(replicas[0]!.db)
    expect(rows.map(({ number }) => number)).toEqual(known.map(({ number }) => number))
    expect(log.lines).toHaveLength(known.length)
  })

  test('migrating what is migrated changes nothing', async () => {
    const [database] = await empty()
    await migrate(database!.db, memoryLog())
    const before = await tables(database!)
    expect(await migrate(database!.db, memoryLog())).toBe(0)
    expect(await tables(database!)).toEqual(before)
  })

  test('later migrations are added to earlier ones', async () => {
    const [database] = await empty()
    const one = migration(1, 'one', 'create table one (n int)')
    const two = migration(2, 'two', 'create table two (n int); insert into two values (2)')
    expect(await migrate(database!.db, memoryLog(), [one])).toBe(1)
    expect(await migrate(database!.db, memoryLog(), [one, two])).toBe(1)
    expect(await tables(database!)).toEqual(['hf_migrations', 'one', 'two'])
  })

  test('a migration that fails leaves what was before it and nothing of itself', async () => {
    const [database] = await empty()
    const one = migration(1, 'one', 'create table one (n int)')
    const bad = migration(2, 'bad', 'create table bad (n int); select 1 / 0')
    await expect(migrate(database!.db, memoryLog(), [one, bad])).rejects.toThrow(/division/)
    expect(await tables(database!)).toEqual(['hf_migrations', 'one'])
    const good = migration(2, 'bad', 'create table good (n int)')
    expect(await migrate(database!.db, memoryLog(), [one, good])).toBe(1)
  })

  test('an edited migration is refused before anything is applied', async () => {
    const [database] = await empty()
    await migrate(database!.db, memoryLog(), [migration(1, 'one', 'create table one (n int)')])
    const edited = [
      migration(1, 'one', 'create table one (n bigint)'),
      migration(2, 'two', 'create table two (n int)'),
    ]
    await expect(migrate(database!.db, memoryLog(), edited)).rejects.toMatchObject({
      code: 'DATABASE_INCOMPATIBLE',
    })
    expect(await tables(database!)).toEqual(['hf_migrations', 'one'])
  })

  test('a database that is newer than the program is refused', async () => {
    const [database] = await empty()
    const one = migration(1, 'one', 'create table one (n int)')
    await migrate(database!.db, memoryLog(), [one, migration(2, 'two', 'create table two (n int)')])
    await expect(migrate(database!.db, memoryLog(), [one])).rejects.toMatchObject({
      code: 'DATABASE_INCOMPATIBLE',
      message: expect.stringContaining('migration 2') as string,
    })
  })

  test('jobs of the start become first versions that say all that the jobs were', async () => {
    const [database] = await empty()
    const known = await readMigrations()
    await migrate(database!.db, memoryLog(), known.slice(0, 1))
    const [org, server, storage, key, job] = Array.from({ length: 5 }, () => id())
    const script = `
      insert into organizations (id, name) values ('${org}', 'o');
      insert into servers (id, org_id, name, type) values ('${server}', '${org}', 's', 'agent');
      insert into storages (id, org_id, name, provider, endpoint, region, bucket, sealed_credentials)
        values ('${storage}', '${org}', 's', 'p', 'e', 'r', 'b', '');
      insert into encryption_keys (id, org_id, name, type, recipient)
        values ('${key}', '${org}', 'k', 'customer', 'r');
      insert into jobs (id, org_id, server_id, storage_id, encryption_key_id, name, external_id)
        values ('${job}', '${org}', '${server}', '${storage}', '${key}', 'j', 'x');
      insert into job_versions (job_id, version, org_id, sources) values ('${job}', 1, '${org}', '[]')`
    await sql.raw(script).execute(database!.db)
    expect(await migrate(database!.db, memoryLog())).toBe(known.length - 1)
    const versions = await database!.db.selectFrom('job_versions').selectAll().execute()
    expect(versions).toMatchObject([
      { version: 1, name: 'j', storage_id: storage, encryption_key_id: key, external_id: 'x' },
    ])
  })

  test('what is due by hf_now() is found through an index', async () => {
    const [database] = await empty()
    await migrate(database!.db, memoryLog())
    const plan = await database!.db.transaction().execute(async (trx) => {
      await sql`set local enable_seqscan = off`.execute(trx)
      const { rows } = await sql<Readonly<Record<string, string>>>`
        explain select id from jobs
        where next_run_at <= hf_now() and next_run_at is not null and deleted_at is null`.execute(
        trx,
      )
      return rows.map((row) => Object.values(row)[0]).join('\n')
    })
    expect(plan).toMatch(/Index (Only )?Scan.*jobs_due/)
    expect(plan).toMatch(/Index Cond: \(next_run_at <= /)
  })
}

describe('migrations of the embedded PostgreSQL', () => suite(embedded))

describe.skipIf(!hasDebianPostgres)(
  "migrations of Debian's PostgreSQL 15 (needs it installed)",
  () => suite(startDebianPostgres),
)
