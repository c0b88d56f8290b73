/** A PostgreSQL behind TCP, as one somewhere else is, that can be killed and started again on what it left. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import { systemClock } from '#server/io/clock.ts'
import { chooseAccount } from '#server/io/embedded/postgres/account.ts'
import { findPackage } from '#server/io/embedded/postgres/package.ts'
import { findRunning, readPidFile } from '#server/io/embedded/postgres/processes.ts'
import { findProgram } from '#server/io/embedded/postgres/program.ts'
import { freshPassword, hasDebianPostgres, makeCluster, startCluster } from './debian-postgres.ts'
import { freePort } from './free-port.ts'
import { memoryLog } from './log.ts'
import { isAlive } from './postgres-elsewhere.ts'
import { eventually } from './wait.ts'

export type KillablePostgres = {
  /** As a person would write it into DATABASE_URL. */
  readonly url: string
  kill(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

/** The folder of the packaged programs, where an account of the machine can run them. */
const packagedBin = async (folder: string): Promise<string> => {
  const account = await chooseAccount(folder)
  return (await findProgram(await findPackage(), folder, account, memoryLog())).bin
}

const createDatabase = async (url: string): Promise<void> => {
  const sql = postgres(new URL('/postgres', url).href, { max: 1, onnotice: () => undefined })
  await sql`create database control`
  await sql.end()
}

/** Debian's where it is installed, else the packaged one. Its files are removed by `close`. */
export const startKillablePostgres = async (folder: string): Promise<KillablePostgres> => {
  const password = freshPassword()
  const cluster = hasDebianPostgres
    ? await makeCluster(password)
    : await makeCluster(password, await packagedBin(folder))
  const port = await freePort()
  const settings = `-c listen_addresses=127.0.0.1 -c port=${port}`
  const start = async (): Promise<() => Promise<void>> => {
    // Children of a killed one hold its memory for a moment, and its number lives until somebody takes notice.
    await findRunning(cluster.data, systemClock)
    await rm(join(cluster.socket, `.s.PGSQL.${port}.lock`), { force: true })
    return startCluster(cluster, settings)
  }
  let stop = await start()
  const url = `postgres://holdfast:${password}@127.0.0.1:${port}/control`
  await createDatabase(url)
  return {
    url,
    kill: async () => {
      const running = await readPidFile(cluster.data)
      if (running === null) throw new Error('there is no PostgreSQL to kill')
      process.kill(running.pid, 'SIGKILL')
      await eventually('the end of PostgreSQL', () => !isAlive(running.pid))
    },
    start: async () => {
      stop = await start()
    },
    close: async () => stop(),
  }
}
