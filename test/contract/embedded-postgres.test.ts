import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { type DatabaseAddress, openDatabase } from '#server/io/db/open.ts'
import { findPackage } from '#server/io/embedded/postgres/package.ts'
import { type Postgres, startPostgres } from '#server/io/embedded/postgres/start.ts'
import type { Clock } from '#shared/world.ts'
import { type Owner, isAlive, kill, startOwner, stopOwner } from '../support/postgres-elsewhere.ts'
import { memoryLog } from '../support/log.ts'
import { quickFolder } from '../support/quick-folder.ts'
import { eventually } from '../support/wait.ts'

const run = promisify(execFile)
const isRoot = process.getuid?.() === 0
const never = new AbortController().signal

let root = ''
const folder = (): string => join(root, 'pg')
const empty = async (): Promise<void> => rm(folder(), { recursive: true })
const cleanups: (() => Promise<unknown>)[] = []

/** A stopped cluster, made once; most tests begin with a copy of it, because initdb takes its second. */
let seed = ''

beforeAll(async () => {
  seed = await mkdtemp(join(quickFolder(), 'hf-pg-seed-'))
  const settings = { folder: seed, log: memoryLog(), clock: systemClock }
  await (await startPostgres(settings, never)).close()
})

afterAll(async () => rm(seed, { recursive: true, force: true }))

const makeRoot = async (base: string): Promise<void> => {
  await mkdir(join((root = await mkdtemp(join(base, 'hf-pg-'))), 'pg'))
  await run('cp', ['-a', join(seed, 'data'), folder()]) // with its owner
}

/** Where programs may be run that are copied there. */
const moveToDisk = async (): Promise<void> => {
  await rm(root, { recursive: true })
  await makeRoot(tmpdir())
}

beforeEach(async () => makeRoot(quickFolder()))

afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
  await rm(root, { recursive: true, force: true })
})

type Wanted = { readonly at?: string; readonly packageFolder?: string; readonly clock?: Clock }

const start = async ({
  at = folder(),
  clock = systemClock,
  ...rest
}: Wanted = {}): Promise<Postgres> => {
  const started = await startPostgres({ folder: at, log: memoryLog(), clock, ...rest }, never)
  cleanups.push(async () => started.close())
  return started
}

const query = async (address: DatabaseAddress, text: string): Promise<unknown> => {
  const database = openDatabase(address, { maxConnections: 1 })
  try {
    const { rows } = await sql.raw<Readonly<Record<string, unknown>>>(text).execute(database.db)
    return rows.map((row) => Object.values(row)[0])
  } finally {
    await database.close()
  }
}

const gone = async (pid: number): Promise<unknown> => eventually('it is gone', () => !isAlive(pid))

const startElsewhere = async (): Promise<Owner> => {
  const owner = await startOwner(folder())
  cleanups.push(async () => stopOwner(owner))
  return owner
}

const fill = 'create table kept (n int); insert into kept select generate_series(1, 1000)'
const kept = 'select count(*) from kept'

test('it starts on an empty folder, answers, and after close nothing of it is left running', async () => {
  await empty()
  const postgres = await start()
  expect(postgres.owner).toBe(true)
  expect(await query(postgres.connect, 'select 1 + 1')).toEqual([2])
  expect(await query(postgres.connect, 'show listen_addresses')).toEqual([''])
  expect(await query(postgres.connect, 'show fsync')).toEqual(['on'])
  const data = await stat(join(folder(), 'data'))
  expect(data.mode & 0o777).toBe(0o700)
  const socket = 'socket' in postgres.connect ? postgres.connect.socket : ''
  expect((await stat(socket)).mode & 0o777).toBe(0o700)
  await postgres.close()
  expect(isAlive(postgres.pid)).toBe(false)
  expect(await readdir(dirname(socket))).not.toContain(socket.split('/').at(-1))
  expect(await postgres.ended).toContain('shut down')
})

test('what was committed is there after a stop and a start', async () => {
  const first = await start()
  await query(first.connect, fill)
  await first.close()
  expect(await query((await start()).connect, kept)).toEqual([1000])
})

test('a second start while the owner lives uses the same server and does not stop it', async () => {
  const owner = await start()
  const second = await start()
  expect(second.owner).toBe(false)
  expect(second.pid).toBe(owner.pid)
  await second.close()
  expect(await query(owner.connect, 'select 1')).toEqual([1])
})

test('two processes that start on an empty folder at once get one server, and one of them owns it', async () => {
  await empty()
  const both = await Promise.all([startElsewhere(), startElsewhere()])
  const [one, two] = both.map(({ started }) => started)
  expect(one?.pid).toBe(two?.pid)
  expect(both.filter(({ started }) => started.owner)).toHaveLength(1)
})

test('the server of a killed owner is taken over with its data', async () => {
  const { child, started } = await startElsewhere()
  await query(started.connect, fill)
  await kill(child)
  expect(isAlive(started.pid)).toBe(true)
  const next = await start()
  expect(next.owner).toBe(true)
  expect(next.pid).toBe(started.pid)
  expect(await query(next.connect, kept)).toEqual([1000])
  await next.close()
  expect(isAlive(started.pid)).toBe(false)
  expect(await next.ended).not.toBe('')
})

test('an owner that attached before the first was killed can be followed by one that takes over', async () => {
  const { child, started } = await startElsewhere()
  const guest = await start()
  expect(guest.owner).toBe(false)
  await kill(child)
  const next = await start()
  expect([next.owner, next.pid]).toEqual([true, started.pid])
})

test('after SIGKILL of the server itself every committed row is there', async () => {
  const first = await start()
  await query(first.connect, fill)
  process.kill(first.pid, 'SIGKILL')
  expect(await first.ended).toContain('SIGKILL')
  await first.close()
  const next = await start()
  expect(next.pid).not.toBe(first.pid)
  expect(await query(next.connect, kept)).toEqual([1000])
})

test('after SIGKILL of owner and server at once every committed row is there', async () => {
  const { child, started } = await startElsewhere()
  await query(started.connect, fill)
  process.kill(started.pid, 'SIGKILL')
  await kill(child)
  const next = await start()
  expect(await query(next.connect, kept)).toEqual([1000])
})

test('Ctrl-C in the terminal of its owner does not reach the server', async () => {
  const { child, lines, started } = await startElsewhere()
  process.kill(-child.pid!, 'SIGINT')
  expect((await lines.next()).value).toBe('interrupted')
  expect(await query(started.connect, 'select 1')).toEqual([1])
})

test('a stopped owner shuts the server down before it ends', async () => {
  const { child, started } = await startElsewhere()
  child.stdin?.end()
  await once(child, 'exit')
  await gone(started.pid)
  const log = await readFile(join(folder(), 'server.log'), 'utf8')
  expect(log).toContain('database system is shut down')
})

test('a pid file whose number now belongs to another program does not keep it from starting', async () => {
  const first = await start()
  await query(first.connect, fill)
  process.kill(first.pid, 'SIGKILL')
  await first.ended
  await first.close()
  const { uid, gid } = await stat(join(folder(), 'data'))
  const other = spawn('sleep', ['600'], { uid, gid, cwd: '/' })
  cleanups.push(async () => kill(other))
  const file = join(folder(), 'data/postmaster.pid')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(/^\d+/, String(other.pid)))
  const next = await start()
  expect(await query(next.connect, kept)).toEqual([1000])
  expect(isAlive(other.pid!)).toBe(true)
})

test('a server that is left behind and does not answer is stopped and started again', async () => {
  const { child, started } = await startElsewhere()
  await query(started.connect, fill)
  await kill(child)
  process.kill(started.pid, 'SIGSTOP')
  // Deadlines of minutes, in seconds.
  const clock: Clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() * 20,
    sleep: async (span, stop) => systemClock.sleep(span / 20, stop),
  }
  const next = await start({ clock })
  expect(next.pid).not.toBe(started.pid)
  expect(await query(next.connect, kept)).toEqual([1000])
})

test('an initdb that was cut short is done again', async () => {
  await empty()
  await mkdir(join(folder(), 'data.draft/base'), { recursive: true })
  await writeFile(join(folder(), 'data.draft/PG_VERSION'), '18\n')
  expect(await query((await start()).connect, 'select 1')).toEqual([1])
})

test('a start that is called off leaves no process and no lock behind', async () => {
  await empty()
  const stop = new AbortController()
  const starting = startPostgres(
    { folder: folder(), log: memoryLog(), clock: systemClock },
    stop.signal,
  )
  const refused = expect(starting).rejects.toThrow('not now')
  await eventually('it works', async () => (await readdir(folder()).catch(() => [])).length > 1)
  stop.abort(new Error('not now'))
  await refused
  expect((await start()).owner).toBe(true)
})

describe('a server that cannot start says why', () => {
  const refusal = async (): Promise<unknown> => start().catch((error: unknown) => error)

  test('with its own last words', async () => {
    await writeFile(join(folder(), 'data/postgresql.conf'), 'no_such_setting = 1\n')
    expect(await refusal()).toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(/no_such_setting/) as string,
    })
  })

  test('for data of another major version', async () => {
    await writeFile(join(folder(), 'data/PG_VERSION'), '14\n')
    expect(await refusal()).toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(/written by PostgreSQL 14.*installed is 18/) as string,
    })
  })

  test('for a package that is not there', async () => {
    const packageFolder = join(root, 'nothing')
    await expect(start({ packageFolder })).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
  })
})

test('a data folder with a very long path works', async () => {
  const at = join(root, ...Array.from({ length: 12 }, (_, n) => `${'long'.repeat(8)}-${n}`))
  expect(at.length).toBeGreaterThan(400)
  expect(await query((await start({ at })).connect, 'select 1')).toEqual([1])
})

/** The copy that is made outside of the data folder goes with the test, unless it was there before. */
const forgetCopies = async (): Promise<void> => {
  const ours = async (): Promise<readonly string[]> =>
    (await readdir('/var/cache')).filter((name) => name.startsWith('holdfast-postgres-'))
  const before = await ours()
  cleanups.push(async () => {
    const made = (await ours()).filter((name) => !before.includes(name))
    for (const name of made) await rm(join('/var/cache', name), { recursive: true })
  })
}

/** A package that only we can read, and without the links, as npm leaves it. */
const privatePackage = async (): Promise<string> => {
  const { root: installed } = await findPackage()
  const copy = join(root, 'private/package')
  await mkdir(dirname(copy), { mode: 0o700 })
  const filter = async (path: string): Promise<boolean> => !(await lstat(path)).isSymbolicLink()
  await cp(installed, copy, { recursive: true, filter })
  return copy
}

test.skipIf(!isRoot)(
  'a package folder that the account cannot read is copied beside the data (needs root)',
  async () => {
    await moveToDisk()
    await chmod(root, 0o755)
    const postgres = await start({ packageFolder: await privatePackage() })
    expect(await query(postgres.connect, 'select 1')).toEqual([1])
    const names = await readdir(folder())
    expect(names.filter((name) => name.startsWith('program-'))).toHaveLength(1)
    expect((await stat(join(folder(), 'data'))).uid).not.toBe(0)
  },
)

test.skipIf(!isRoot)(
  'package and data may both lie where the account cannot go (needs root)',
  async () => {
    await forgetCopies()
    await moveToDisk()
    await chmod(root, 0o700)
    const postgres = await start({ packageFolder: await privatePackage() })
    await query(postgres.connect, fill)
    await postgres.close()
    const again = await start({ packageFolder: join(root, 'private/package') })
    expect(await query(again.connect, kept)).toEqual([1000])
  },
)

test.skipIf(isRoot)(
  'a package folder that cannot be written is copied beside the data (needs an ordinary user)',
  async () => {
    await moveToDisk()
    const copy = await privatePackage()
    await chmod(join(copy, 'native/lib'), 0o555)
    cleanups.push(async () => chmod(join(copy, 'native/lib'), 0o755))
    expect(await query((await start({ packageFolder: copy })).connect, 'select 1')).toEqual([1])
    expect((await readdir(folder())).filter((name) => name.startsWith('program-'))).toHaveLength(1)
  },
)
