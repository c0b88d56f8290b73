import { createHash } from 'node:crypto'
import { chmod, chown, lstat, mkdir, realpath, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { problemOf } from '#shared/errors.ts'
import { unavailable } from '../../db/errors.ts'
import { type Account, mayReach } from './account.ts'

/** What lies in the folder of the embedded server. */
export type Places = {
  readonly folder: string
  /** PostgreSQL's own; there only when initdb has finished. */
  readonly data: string
  /** Where initdb works; renamed to `data` at its end, so that half a database is never taken for one. */
  readonly draft: string
  readonly log: string
  readonly lock: string
}

// sun_path holds 108 bytes with its final zero on Linux, 104 on macOS.
const LONGEST_SOCKET = 103
const SOCKET_FILE = '.s.PGSQL.5432'

/** Makes the folder. Others may pass through it (0711) when the server is not to run as ourselves, and no more. */
export const preparePlaces = async (wanted: string): Promise<Places> => {
  await mkdir(wanted, { recursive: true, mode: 0o700 })
  const folder = await realpath(wanted)
  if (process.getuid?.() === 0) await chmod(folder, 0o711)
  const place = (name: string): string => join(folder, name)
  return {
    folder,
    data: place('data'),
    draft: place('data.draft'),
    log: place('server.log'),
    lock: place('owner.lock'),
  }
}

const makePrivate = async (path: string, account: Account): Promise<void> => {
  const made = await mkdir(path, { mode: 0o700 }).then(
    () => true,
    () => false,
  )
  const found = await lstat(path)
  const expected = [process.getuid?.(), account?.uid]
  // The name can be guessed, so another user may have been there first.
  if (
    !found.isDirectory() ||
    (!made && process.getuid !== undefined && !expected.includes(found.uid))
  )
    throw new Error(`${path} belongs to somebody else`)
  await chmod(path, 0o700)
  if (account !== null) await chown(path, account.uid, account.gid)
}

const emptySocket = async (path: string): Promise<void> => {
  await rm(join(path, SOCKET_FILE), { force: true })
  await rm(join(path, `${SOCKET_FILE}.lock`), { force: true })
}

/** For tidiness, after the server has ended; a killed one leaves its files. */
export const removeSocket = async (path: string): Promise<void> => {
  await emptySocket(path)
  await rmdir(path).catch(() => undefined) // it may hold something else, or be gone
}

/**
 * The private folder for the socket of the server in `folder`: a path of a socket may have about a hundred bytes, so it
 * lies in the folder for temporary files, under a name that follows from `folder`. Made if missing; what an earlier
 * server left in it is removed, for its lock holds a number that may be another process's by now. So only for the owner
 * of `folder`, and only when no server runs.
 */
export const prepareSocket = async (folder: string, account: Account): Promise<string> => {
  const name = `hf-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`
  const problems: string[] = []
  for (const root of new Set([tmpdir(), '/tmp', '/var/tmp', '/dev/shm'])) {
    const path = join(root, name)
    try {
      if (join(path, SOCKET_FILE).length > LONGEST_SOCKET) throw new Error(`${path} is too long`)
      if (!(await mayReach(root, account))) throw new Error(`the server cannot reach ${root}`)
      await makePrivate(path, account)
      await emptySocket(path)
      return path
    } catch (error) {
      problems.push(problemOf(error))
    }
  }
  throw unavailable(`there is no place for its socket (${problems.join('; ')})`)
}
