import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { brokenConstraint, isRetryable, sqlState } from '#server/io/db/errors.ts'
import { type Database, openDatabase, showAddress } from '#server/io/db/open.ts'
import { type OrgId, makeId } from '#shared/ids.ts'
import { type TestDatabase, testDatabase } from '../support/database-template.ts'
import { hasDebianPostgres, startDebianPostgres } from '../support/debian-postgres.ts'

let database: TestDatabase
let other: Database

beforeAll(async () => {
  database = await testDatabase()
  other = openDatabase(database.address)
})

afterAll(async () => {
  await other.close()
  await database.close()
})

const first = async <T>(
  text: ReturnType<typeof sql<{ readonly it: T }>>,
  on: Database = database,
): Promise<T> => {
  const { rows } = await text.execute(on.db)
  return rows[0]!.it
}

const newOrg = (): OrgId => makeId(Date.now(), crypto.getRandomValues(new Uint8Array(10)))

const terminate = async (pid: number): Promise<unknown> =>
  sql`select pg_terminate_backend(${pid})`.execute(other.db)

const pidOf = async (on: Database['db']): Promise<number> => {
  const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on)
  return rows[0]!.pid
}

/** Until the server knows nothing more of the session; and some rounds more, in which this process hears of it. */
const untilGone = async (pid: number): Promise<void> => {
  const left = async (): Promise<number> =>
    first(
      sql<{ it: number }>`select count(*) as it from pg_stat_activity where pid = ${pid}`,
      other,
    )
  for (let rounds = 0; rounds < 100; rounds += 1) if ((await left()) > 0) rounds = 0
}

describe('values', () => {
  test('int8 are numbers up to 2^53 - 1 both ways', async () => {
    const most = Number.MAX_SAFE_INTEGER
    expect(await first(sql`select ${most}::int8 as it`)).toBe(most)
    expect(await first(sql`select ${-most}::int8 as it`)).toBe(-most)
    expect(await first(sql`select array[${most}, 0]::int8[] as it`)).toEqual([most, 0])
  })

  test('an int8 beyond 2^53 is refused, and the connection goes on', async () => {
    await expect(first(sql`select 9007199254740993::int8 as it`)).rejects.toThrow(/beyond 2\^53/)
    await expect(first(sql`select ${2 ** 53}::int8 as it`)).rejects.toThrow(/no int8/)
    await expect(first(sql`select ${1.5}::int8 as it`)).rejects.toThrow(/no int8/)
    expect(await first(sql`select 7::int8 as it`)).toBe(7)
  })

  test('bytes, times, JSON and lists of text come back as they went', async () => {
    const { db } = database
    const id = newOrg()
    const key = Uint8Array.from({ length: 32 }, (_, n) => 255 - n)
    const at = new Date('2026-11-20T10:11:12.345Z')
    const limits = { text: 'a "b" \\ ü', list: [1, null, { deep: true }], empty: {} }
    await db
      .insertInto('organizations')
      .values({
        id,
        name: 'o',
        signing_public_key: key,
        kit_confirmed_at: at,
        limits,
        blackout_windows: [limits, 'x'],
      })
      .execute()
    const row = await db
      .selectFrom('organizations')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({ kit_confirmed_at: at, limits, blackout_windows: [limits, 'x'] })
    expect(new Uint8Array(row.signing_public_key!)).toEqual(key)
    expect(await first(sql`select array['a', 'b,"c"', '']::text[] as it`)).toEqual([
      'a',
      'b,"c"',
      '',
    ])
  })

  test('hf_now() is a whole number of milliseconds, so that a Date carries it exactly', async () => {
    const { db } = database
    const id = newOrg()
    await db.insertInto('organizations').values({ id, name: 'o' }).execute()
    const { created_at } = await db
      .selectFrom('organizations')
      .selectAll()
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    const found = db
      .selectFrom('organizations')
      .where('created_at', '=', created_at)
      .where('id', '=', id)
    expect(await found.selectAll().execute()).toHaveLength(1)
  })
})

describe('transactions', () => {
  test('one that failed inside and was not rolled back does not look committed', async () => {
    const run = database.db.transaction().execute(async (trx) => {
      await sql`select 1 / 0`.execute(trx).catch(() => undefined)
    })
    await expect(run).rejects.toThrow(/rolled back/)
  })

  test('the connection lost during a statement fails the transaction and leaves nothing of it', async () => {
    const id = newOrg()
    const run = database.db.transaction().execute(async (trx) => {
      await trx.insertInto('organizations').values({ id, name: 'lost' }).execute()
      const pid = await pidOf(trx)
      await Promise.all([sql`select pg_sleep(600)`.execute(trx), terminate(pid)])
    })
    await expect(run).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const left = database.db.selectFrom('organizations').where('id', '=', id).selectAll()
    expect(await left.execute()).toEqual([])
  })

  test('the connection lost between two statements does not let the second run outside', async () => {
    const id = newOrg()
    const run = database.db.transaction().execute(async (trx) => {
      const pid = await pidOf(trx)
      await terminate(pid)
      await untilGone(pid)
      await trx.insertInto('organizations').values({ id, name: 'outside' }).execute()
    })
    await expect(run).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const left = database.db.selectFrom('organizations').where('id', '=', id).selectAll()
    expect(await left.execute()).toEqual([])
  })

  test('after every connection was cut, the pool serves again', async () => {
    const busy = Array.from({ length: 10 }, async () =>
      sql`select pg_sleep(600)`.execute(database.db).catch((error: unknown) => error),
    )
    const asleep = sql<{
      pid: number
    }>`select pid from pg_stat_activity where query like 'select pg_sleep(600)'`
    for (;;) {
      const { rows } = await asleep.execute(other.db)
      if (rows.length < 10) continue
      await Promise.all(rows.map(async ({ pid }) => terminate(pid)))
      break
    }
    for (const error of await Promise.all(busy))
      expect(error).toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    const again = Array.from({ length: 30 }, async (_, n) => first(sql`select ${n}::int8 as it`))
    expect(await Promise.all(again)).toEqual(Array.from({ length: 30 }, (_, n) => n))
  })
})

describe('the pool', () => {
  test('holds no more connections than it may, and serves whoever waits', async () => {
    const small = openDatabase(database.address, { maxConnections: 2 })
    const pids = await Promise.all(Array.from({ length: 20 }, async () => pidOf(small.db)))
    expect(new Set(pids).size).toBeLessThanOrEqual(2)
    await small.close()
  })

  test('says that it was closed', async () => {
    const closed = openDatabase(database.address)
    await closed.close()
    await expect(pidOf(closed.db)).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  })

  test('LISTEN hears what another session says', async () => {
    const heard = Promise.withResolvers<string>()
    const listening = await database.sql.listen('test_channel', (payload) => heard.resolve(payload))
    await sql`select pg_notify('test_channel', 'hello')`.execute(other.db)
    expect(await heard.promise).toBe('hello')
    await listening.unlisten()
  })
})

describe('errors', () => {
  test('a broken constraint is named', async () => {
    const id = newOrg()
    const insert = async (): Promise<unknown> =>
      database.db.insertInto('organizations').values({ id, name: 'twice' }).execute()
    await insert()
    const error = await insert().catch((thrown: unknown) => thrown)
    expect([sqlState(error), brokenConstraint(error)]).toEqual(['23505', 'organizations_pkey'])
    expect(isRetryable(error)).toBe(false)
  })

  test('a statement over its time is DATABASE_UNAVAILABLE', async () => {
    const hasty = openDatabase(database.address, { statementTimeout: 50 })
    const slow = sql`select pg_sleep(600)`.execute(hasty.db)
    await expect(slow).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    await hasty.close()
  })

  test('a server that is not there is DATABASE_UNAVAILABLE', async () => {
    for (const address of [
      { socket: '/nonexistent', user: 'a', database: 'b' },
      { url: 'postgres://a:secret@127.0.0.1:1/b' },
    ]) {
      const nowhere = openDatabase(address)
      const error = await pidOf(nowhere.db).catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
      expect(String(error)).not.toContain('secret')
      await nowhere.close()
    }
  })

  test.skipIf(!hasDebianPostgres)(
    'a DATABASE_URL may name a folder with a socket, as libpq has it (needs postgresql-15)',
    async () => {
      const elsewhere = await startDebianPostgres()
      const { socket, user } = elsewhere.server
      const host = encodeURIComponent(socket)
      const database = openDatabase({ url: `postgres://${user}@localhost/postgres?host=${host}` })
      try {
        const { rows } = await sql<{ one: number }>`select 1 as one`.execute(database.db)
        expect(rows).toEqual([{ one: 1 }])
        expect(await database.sql.unsafe('select 2 as two')).toMatchObject([{ two: 2 }])
      } finally {
        await database.close()
        await elsewhere.close()
      }
    },
  )

  test('a malformed DATABASE_URL is refused without being repeated', () => {
    for (const url of ['mysql://a:secret@h/d', 'secret'])
      expect(() => openDatabase({ url })).toThrow(expect.not.stringContaining('secret') as Error)
    expect(showAddress({ url: 'postgres://a:secret@h:5432/d' })).toBe('h:5432/d')
  })
})

test('the clock of the statements stands still, moves on and can be driven in every session', async () => {
  const at = new Date('2031-02-03T04:05:06.789Z')
  await database.freezeClock(at)
  expect(await first(sql`select hf_now() as it`, other)).toEqual(at)
  await database.advanceClock(86_400_000)
  expect(await first(sql`select hf_now() as it`, other)).toEqual(
    new Date(at.getTime() + 86_400_000),
  )
})
