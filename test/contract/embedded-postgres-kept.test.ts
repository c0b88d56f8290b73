import { execFile } from 'node:child_process'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { type Database, openDatabase } from '#server/io/db/open.ts'
import { keepPostgres, type KeptPostgres } from '#server/io/embedded/postgres/keep.ts'
import { readPidFile } from '#server/io/embedded/postgres/processes.ts'
import { startPostgres } from '#server/io/embedded/postgres/start.ts'
import { hasCode } from '#shared/errors.ts'
import { memoryLog } from '../support/log.ts'
import { isAlive } from '../support/postgres-elsewhere.ts'
import { eventually } from '../support/wait.ts'

const never = new AbortController().signal
const run = promisify(execFile)
/** Stopped clusters are copied: initdb takes its second. */
let seed = ''
let root = ''
const folder = (): string => join(root, 'pg')
const data = (): string => join(folder(), 'data')

beforeAll(async () => {
  seed = await mkdtemp(join(tmpdir(), 'hf-kept-seed-'))
  const settings = { folder: seed, log: memoryLog(), clock: systemClock }
  await (await startPostgres(settings, never)).close()
})
afterAll(async () => rm(seed, { recursive: true, force: true }))

let kept: KeptPostgres
let database: Database
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'hf-kept-'))
  await run('mkdir', [folder()])
  await run('cp', ['-a', join(seed, 'data'), folder()]) // with its owner
  // Waiting between tries is not what is looked at here.
  const clock = { ...systemClock, sleep: async () => systemClock.sleep(1, never) }
  kept = await keepPostgres({ folder: folder(), log: memoryLog(), clock }, never)
  database = openDatabase(kept.connect, { maxConnections: 2 })
})
afterEach(async () => {
  await database.close()
  await kept.close()
  await rm(root, { recursive: true, force: true })
})

const ask = async (text: string): Promise<unknown> => {
  const { rows } = await sql.raw<Readonly<Record<string, unknown>>>(text).execute(database.db)
  return rows.map((row) => Object.values(row)[0])
}

/** Null while there is no database; every other error is one of ours. */
const askIfThere = async (text: string): Promise<unknown> => {
  try {
    return await ask(text)
  } catch (error) {
    if (hasCode(error, 'DATABASE_UNAVAILABLE')) return null
    throw error
  }
}

const postmaster = async (): Promise<number> =>
  eventually('a postmaster', async () => {
    const pid = (await readPidFile(data()))?.pid
    return pid !== undefined && isAlive(pid) && pid
  })

const killed = async (): Promise<void> => {
  const pid = await postmaster()
  process.kill(pid, 'SIGKILL')
  await eventually('its end', () => !isAlive(pid))
}

test('a server that is killed comes back with what was committed, for the same clients', async () => {
  await ask('create table kept (n int); insert into kept values (7)')
  const first = await postmaster()
  for (let i = 0; i < 2; i += 1) {
    await killed()
    expect(await eventually('the database', async () => askIfThere('select n from kept'))).toEqual([
      7,
    ])
  }
  expect(await postmaster()).not.toBe(first)
  await kept.close()
  expect(await readPidFile(data())).toBe(null)
})

test('one that cannot be started again is given up, with the reason', async () => {
  // Moved, so that what runs goes on and a start finds nothing that it could take for a cluster.
  const away = join(root, 'away')
  await rename(data(), away)
  await run('mkdir', [data()])
  await run('cp', [join(away, 'PG_VERSION'), data()])
  const pid = (await readPidFile(away))?.pid ?? 0
  process.kill(pid, 'SIGKILL')
  await eventually('its end', () => !isAlive(pid))
  expect(await kept.broken).toMatch(/\S/)
})

test('closed while it comes back, it leaves nothing that runs', async () => {
  await killed()
  await kept.close()
  // Whatever ran still would be taken over.
  const log = memoryLog()
  const next = await startPostgres({ folder: folder(), log, clock: systemClock }, never)
  await next.close()
  expect(log.lines.filter(({ message }) => message.includes('took over'))).toEqual([])
})
