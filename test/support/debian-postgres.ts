import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ProbeAddress } from '#server/io/db/probe.ts'
import { type Account, chooseAccount } from '#server/io/embedded/postgres/account.ts'
import type { Needed } from './debian-packages.ts'
import { freePort } from './free-port.ts'

const run = promisify(execFile)

const BIN = '/usr/lib/postgresql/15/bin'

/** Debian's PostgreSQL 15: the oldest external server that the suite is run on, where it is installed. */
export const hasDebianPostgres = existsSync(join(BIN, 'postgres'))

export const POSTGRES_PACKAGE: Needed = { file: join(BIN, 'postgres'), name: 'postgresql-15' }

export type DebianPostgres = { readonly server: ProbeAddress; close(): Promise<void> }

export type DebianDatabase = {
  /** As a person would write it into DATABASE_URL. */
  readonly url: string
  readonly password: string
  /** All of it as SQL text, by Debian's pg_dump. */
  dump(): Promise<string>
  close(): Promise<void>
}

const USER = 'holdfast'
const MOST_DUMP = 256 * 1024 * 1024

export type Cluster = {
  readonly bin: string
  readonly root: string
  readonly data: string
  readonly socket: string
  readonly how: Partial<NonNullable<Account>> & { cwd: string; env: Record<string, string> }
}

/** A new one in a temporary folder; `bin` holds PostgreSQL's programs. */
export const makeCluster = async (password: string, bin = BIN): Promise<Cluster> => {
  const root = await mkdtemp(join(tmpdir(), 'hf-deb-'))
  const [data, socket] = [join(root, 'data'), join(root, 'socket')]
  const account = await chooseAccount(data)
  await chmod(root, 0o755)
  for (const folder of [data, socket]) {
    await mkdir(folder, { mode: 0o700 })
    if (account !== null) await chown(folder, account.uid, account.gid)
  }
  const passwordFile = join(socket, 'password')
  await writeFile(passwordFile, `${password}\n`)
  const how = { ...account, cwd: data, env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' } }
  const auth = ['--auth-local=trust', '--auth-host=scram-sha-256', `--pwfile=${passwordFile}`]
  await run(`${bin}/initdb`, ['-D', data, '-U', USER, ...auth, '-E', 'UTF8', '-N'], how)
  return { bin, root, data, socket, how }
}

/** Gives what stops it and removes it. */
export const startCluster = async (
  { bin, root, data, socket, how }: Cluster,
  settings: string,
): Promise<() => Promise<void>> => {
  const control = async (...words: readonly string[]): Promise<unknown> =>
    run(`${bin}/pg_ctl`, ['-D', data, '-w', ...words], how)
  const options = `-k ${socket} -c fsync=off ${settings}`
  await control('-l', join(data, 'log'), '-o', options, 'start')
  return async () => {
    await control('-m', 'fast', 'stop')
    await rm(root, { recursive: true, force: true })
  }
}

export const freshPassword = (): string => randomBytes(18).toString('base64url')

/** Starts one with a new cluster in a temporary folder, reachable through a socket only. */
export const startDebianPostgres = async (): Promise<DebianPostgres> => {
  const cluster = await makeCluster(freshPassword())
  const close = await startCluster(cluster, '-c listen_addresses=')
  return { server: { socket: cluster.socket, user: USER }, close }
}

/** The same with an empty database behind TCP and a password, as a server somewhere else is. */
export const startDebianDatabase = async (): Promise<DebianDatabase> => {
  const password = freshPassword()
  const cluster = await makeCluster(password)
  const port = await freePort()
  const close = await startCluster(cluster, `-c listen_addresses=127.0.0.1 -c port=${port}`)
  const admin = ['-h', cluster.socket, '-p', String(port), '-U', USER]
  await run(`${BIN}/createdb`, [...admin, 'control'], cluster.how)
  return {
    url: `postgres://${USER}:${password}@127.0.0.1:${port}/control`,
    password,
    dump: async () => {
      const how = { ...cluster.how, maxBuffer: MOST_DUMP }
      return (await run(`${BIN}/pg_dump`, [...admin, 'control'], how)).stdout
    },
    close,
  }
}
