import { execFile } from 'node:child_process'
import { chown, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { problemOf } from '#shared/errors.ts'
import { MINUTE } from '#shared/units.ts'
import { unavailable } from '../../db/errors.ts'
import type { Account } from './account.ts'
import type { Places } from './places.ts'
import { ENVIRONMENT, type Program } from './program.ts'

const run = promisify(execFile)

/** The superuser of the cluster and the database in it. Who may open the socket's folder may be it. */
export const USER = 'holdfast'
export const DATABASE = 'holdfast'

/**
 * How the programs are told their folder. As another account they may be unable to pass through the folders above it
 * (a home of root's, a private temporary folder); as the working folder, which we enter before the change of account,
 * they need not.
 */
export const dataArgument = (folder: string, account: Account): string =>
  account !== null && process.platform === 'linux' ? '/proc/self/cwd' : folder

const majorOf = (version: string): string => /^\d+/.exec(version)?.[0] ?? version

const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, 'r')
  await handle.sync().finally(async () => handle.close())
}

const createCluster = async (
  places: Places,
  program: Program,
  account: Account,
  stop: AbortSignal,
): Promise<void> => {
  await rm(places.draft, { recursive: true, force: true })
  await mkdir(places.draft, { mode: 0o700 })
  if (account !== null) await chown(places.draft, account.uid, account.gid)
  const at = dataArgument(places.draft, account)
  const words = `-U ${USER} -A trust -E UTF8 --locale=C --no-instructions`.split(' ')
  try {
    await run(join(program.bin, 'initdb'), ['-D', at, ...words], {
      ...account,
      cwd: places.draft,
      env: ENVIRONMENT,
      timeout: 2 * MINUTE,
      signal: stop,
    })
  } catch (error) {
    stop.throwIfAborted()
    throw unavailable(`initdb: ${problemOf(error).trim().split('\n').slice(-3).join(' | ')}`, error)
  }
  await rename(places.draft, places.data)
  await syncFolder(places.folder)
}

/** Makes the cluster if there is none; throws `DATABASE_UNAVAILABLE` for one that this PostgreSQL cannot read. */
export const prepareCluster = async (
  places: Places,
  program: Program,
  account: Account,
  stop: AbortSignal,
): Promise<void> => {
  const found = await readFile(join(places.data, 'PG_VERSION'), 'utf8').catch(() => null)
  if (found === null) return createCluster(places, program, account, stop)
  if (found.trim() === majorOf(program.version)) return
  throw unavailable(
    `${places.data} was written by PostgreSQL ${found.trim()}, and the one installed is ${program.version}`,
  )
}
