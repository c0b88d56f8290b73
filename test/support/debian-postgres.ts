import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ProbeAddress } from '#server/io/db/probe.ts'
import { chooseAccount } from '#server/io/embedded/postgres/account.ts'

const run = promisify(execFile)

const BIN = '/usr/lib/postgresql/15/bin'

/** Debian's PostgreSQL 15: the oldest external server that the suite is run on, where it is installed. */
export const hasDebianPostgres = existsSync(join(BIN, 'postgres'))

export type DebianPostgres = { readonly server: ProbeAddress; close(): Promise<void> }

/** Starts one with a new cluster in a temporary folder, reachable through a socket only. */
export const startDebianPostgres = async (): Promise<DebianPostgres> => {
  const root = await mkdtemp(join(tmpdir(), 'hf-deb-'))
  const [data, socket] = [join(root, 'data'), join(root, 'socket')]
  const account = await chooseAccount(data)
  await chmod(root, 0o755)
  for (const folder of [data, socket]) {
    await mkdir(folder, { mode: 0o700 })
    if (account !== null) await chown(folder, account.uid, account.gid)
  }
  const how = { ...account, cwd: data, env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' } }
  await run(`${BIN}/initdb`, ['-D', data, '-U', 'holdfast', '-A', 'trust', '-E', 'UTF8', '-N'], how)
  const options = `-k ${socket} -c listen_addresses= -c fsync=off`
  const control = async (...words: readonly string[]): Promise<unknown> =>
    run(`${BIN}/pg_ctl`, ['-D', data, '-w', ...words], how)
  await control('-l', join(data, 'log'), '-o', options, 'start')
  return {
    server: { socket, user: 'holdfast' },
    close: async () => {
      await control('-m', 'fast', 'stop')
      await rm(root, { recursive: true, force: true })
    },
  }
}
