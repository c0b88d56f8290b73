import { type ChildProcess, spawn } from 'node:child_process'
import { open, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { problemOf } from '#shared/errors.ts'
import { KiB, MiB, MINUTE } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import { unavailable } from '../../db/errors.ts'
import { askServer } from '../../db/probe.ts'
import type { Account } from './account.ts'
import { USER, dataArgument } from './initdb.ts'
import { type Places, removeSocket } from './places.ts'
import { stopServer } from './processes.ts'
import { ENVIRONMENT, type Program } from './program.ts'

/** A server that answers; `ended` says why when its process is gone. */
export type Started = { readonly pid: number; readonly ended: Promise<string> }

export type Launch = {
  readonly program: Program
  readonly places: Places
  readonly account: Account
  readonly socket: string
  readonly clock: Clock
}

// A start after a crash replays the log, which takes as long as it takes; a server that is stuck ends the waiting.
const START_DEADLINE = 5 * MINUTE
const LARGEST_LOG = 1 * MiB

/**
 * On the command line, so that a file in the data folder cannot undo them. Only the socket; nothing is acknowledged that
 * is not on disk; shared memory in files, because /dev/shm is small in containers and is emptied when a user logs out;
 * the log without statements (a failed one goes to whoever sent it, and may hold names).
 */
const SETTINGS = [
  'listen_addresses=',
  'unix_socket_permissions=0700',
  'fsync=on',
  'full_page_writes=on',
  'synchronous_commit=on',
  'max_connections=100',
  'shared_buffers=64MB',
  'dynamic_shared_memory_type=mmap',
  'max_parallel_workers_per_gather=0',
  'jit=off',
  'min_wal_size=32MB',
  'max_wal_size=512MB',
  'log_checkpoints=off',
  'log_min_messages=log',
  'log_min_error_statement=panic',
  'log_timezone=UTC',
  'timezone=UTC',
]

const sizeOf = async (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

/** The last lines of the server's log since `from`, on one line for a message. */
const lastWords = async (log: string, from: number): Promise<string> => {
  const bytes = await readFile(log).catch(() => Buffer.alloc(0))
  const text = bytes.subarray(Math.max(from, bytes.length - 8 * KiB)).toString('utf8')
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.length === 0 ? 'it said nothing' : lines.slice(-5).join(' | ')
}

/** Spawned as the leader of a session of its own, so that Ctrl-C in our terminal does not reach it before our `close`. */
const spawnServer = async (launch: Launch): Promise<ChildProcess> => {
  const { program, places, account, socket } = launch
  const at = dataArgument(places.data, account)
  const settings = SETTINGS.flatMap((setting) => ['-c', setting])
  // A file, not a pipe: it outlives us, and writing into a pipe without a reader would end it.
  const log = await open(places.log, 'a', 0o600)
  try {
    const child = spawn(join(program.bin, 'postgres'), ['-D', at, '-k', socket, ...settings], {
      ...account,
      cwd: places.data,
      env: ENVIRONMENT,
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    child.unref()
    return child
  } finally {
    await log.close()
  }
}

const endOf = async (child: ChildProcess): Promise<string> => {
  const { promise, resolve } = Promise.withResolvers<string>()
  child.once('error', (error) => resolve(problemOf(error)))
  child.once('exit', (code, signal) =>
    resolve(signal === null ? `exit code ${code ?? -1}` : signal),
  )
  return promise
}

/** Waits until the server answers; throws `DATABASE_UNAVAILABLE` with its last words when it ends or does not start. */
const waitForAnswer = async (
  { clock, socket }: Launch,
  ended: Promise<string>,
  stop: AbortSignal,
): Promise<void> => {
  const end = clock.monotonic() + START_DEADLINE
  const life: { over: string | null } = { over: null }
  void ended.then((reason) => {
    life.over = reason
  })
  while ((await askServer({ socket, user: USER })).is !== 'ready') {
    if (life.over !== null) throw unavailable(life.over)
    if (clock.monotonic() > end) throw unavailable('it does not answer')
    await clock.sleep(15, stop)
  }
}

/** Starts the server on a prepared cluster and waits until it answers. */
export const launchServer = async (launch: Launch, stop: AbortSignal): Promise<Started> => {
  const { log, data } = launch.places
  if ((await sizeOf(log)) > LARGEST_LOG) await rename(log, `${log}.1`)
  const from = await sizeOf(log)
  const child = await spawnServer(launch)
  const exit = endOf(child)
  const ended = exit.then(async (reason) => `${reason}: ${await lastWords(log, from)}`)
  try {
    await waitForAnswer(launch, ended, stop)
  } catch (error) {
    if (child.pid !== undefined) await stopServer(child.pid, data, launch.clock)
    await removeSocket(launch.socket)
    throw error
  }
  return { pid: child.pid ?? -1, ended }
}
