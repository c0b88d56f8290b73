import { execFile } from 'node:child_process'
import { chmod, cp, lstat, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { problemOf } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import { unavailable } from '../../db/errors.ts'
import type { Account } from './account.ts'
import { type Package, makeLinks } from './package.ts'

/** A PostgreSQL that runs here: `bin` holds `initdb` and `postgres`; `version` is the server's, like `18.4`. */
export type Program = { readonly bin: string; readonly version: string }

/** All that the programs see of our environment: nothing of PG*, LD_*, or our own secrets. */
export const ENVIRONMENT = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

type Tried = Program | { readonly problem: string }

const run = promisify(execFile)

const tryProgram = async (root: string, account: Account): Promise<Tried> => {
  // Where we may not write, the links may be there already: running it decides.
  const linking = await makeLinks(root).then(
    () => [],
    (error: unknown) => [problemOf(error)],
  )
  const bin = join(root, 'native/bin')
  const how = { env: ENVIRONMENT, cwd: '/', timeout: 30_000, ...account }
  try {
    await run(join(bin, 'initdb'), ['--version'], how) // it has libraries that postgres has not
    const { stdout } = await run(join(bin, 'postgres'), ['--version'], how)
    return { bin, version: /\d+[.\w]*/.exec(stdout)?.[0] ?? 'unknown' }
  } catch (error) {
    return { problem: [...linking, problemOf(error).trim()].join('; ') }
  }
}

const isNeeded = (path: string): boolean => !/[.]a$|\/(include|pkgconfig)$/.test(path)

const makeReadable = async (folder: string): Promise<void> => {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await makeReadable(path)
    else if (entry.isFile())
      await chmod(path, ((await stat(path)).mode & 0o111) === 0 ? 0o644 : 0o755)
  }
}

/** In one step (rename), so that a copy that exists is complete. */
const copyPackage = async (from: string, to: string): Promise<void> => {
  const draft = `${to}.${process.pid}`
  const old = `${to}.old.${process.pid}`
  try {
    await mkdir(join(draft, 'native'), { recursive: true, mode: 0o755 })
    // The links as they are: resolved, they would lead back to where the account cannot go.
    const how = { recursive: true, filter: isNeeded, verbatimSymlinks: true }
    await cp(join(from, 'native'), join(draft, 'native'), how)
    await makeReadable(draft)
    await rename(to, old).catch(() => undefined)
    await rename(draft, to)
  } finally {
    await rm(draft, { recursive: true, force: true })
    await rm(old, { recursive: true, force: true })
  }
}

/** In a folder that others can write to, nobody else may have put a program there, or be able to change it. */
const isOursAlone = async (path: string): Promise<boolean> => {
  const found = await lstat(path)
  const own = found.uid === (process.getuid?.() ?? found.uid)
  return found.isDirectory() && own && (found.mode & 0o022) === 0
}

const tryCopy = async (from: Package, to: string, account: Account): Promise<Tried> => {
  const tried = async (): Promise<Tried> =>
    (await isOursAlone(to)) ? tryProgram(to, account) : { problem: `${to} is not ours alone` }
  const there = await tried().catch(() => null)
  if (there !== null && 'bin' in there) return there
  // None yet, or one that something cleaned up in part, as happens in folders for temporary files.
  try {
    await copyPackage(from.root, to)
  } catch (error) {
    return { problem: problemOf(error) }
  }
  return tried()
}

/**
 * The packaged PostgreSQL as `account` can run it: in its package; else, where that folder cannot be read by the account
 * or not be written for the links, as a copy beside the data; else, where that cannot be reached either, in a folder of
 * the machine. Throws `DATABASE_UNAVAILABLE` with what was wrong with each.
 */
export const findProgram = async (
  found: Package,
  folder: string,
  account: Account,
  log: Log,
): Promise<Program> => {
  const name = `holdfast-postgres-${found.version}-${process.getuid?.() ?? 0}`
  const copies = [
    join(folder, `program-${found.version}`),
    join('/var/cache', name),
    join(tmpdir(), name),
    join('/tmp', name),
  ]
  const ways = [
    async () => tryProgram(found.root, account),
    ...copies.map((to) => async () => tryCopy(found, to, account)),
  ]
  const problems: string[] = []
  for (const way of ways) {
    const tried = await way()
    if ('bin' in tried) return tried
    problems.push(tried.problem)
    log.debug({ problem: tried.problem }, 'PostgreSQL cannot be run from there')
  }
  throw unavailable(`its program does not run (${[...new Set(problems)].join(' / ')})`)
}
