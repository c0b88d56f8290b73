/** The port `Policies` on a file that nobody else could have written, and how it is written at enrolment. */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fail, problemOf } from '#shared/errors.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { MiB } from '#shared/units.ts'
import { parsePolicy, type Policy, unusable } from '../core/policy.ts'
import type { Policies } from '../ports/policy.ts'
import { codeOf } from './fault.ts'
import { fsPath } from './path.ts'

/** Users and groups whose word is the machine's owner's. */
export type Trust = { readonly users: ReadonlySet<number>; readonly groups: ReadonlySet<number> }

const GROUP_WRITE = 0o020
const OTHERS_WRITE = 0o002
const STICKY = 0o1000

/**
 * Root; who runs the agent; and who owns its program: that one decides anyhow what the agent does. Of groups, by the same
 * rule, the one that the program's folder can be written by, and, where the agent is not root's, that which it runs as.
 */
export const trustOf = (program: string): Trust => {
  const user = process.geteuid?.() ?? 0
  const file = statSync(program)
  const folder = statSync(dirname(program))
  const groups = new Set<number>()
  if ((folder.mode & GROUP_WRITE) !== 0) groups.add(folder.gid)
  if (user !== 0) groups.add(process.getegid?.() ?? 0)
  return { users: new Set([0, user, file.uid]), groups }
}

const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0')

/** Why others could have changed what is here; null where they cannot. A link's own mode means nothing. */
const weakness = (trust: Trust, path: string, stat: Stats): string | null => {
  if (!trust.users.has(stat.uid)) return `${path} belongs to user ${String(stat.uid)}`
  if (stat.isSymbolicLink()) return null
  const byGroup = (stat.mode & GROUP_WRITE) !== 0 && !trust.groups.has(stat.gid)
  const byOthers = (stat.mode & OTHERS_WRITE) !== 0
  // Of a folder like /tmp nobody can take away what is not his.
  const kept = stat.isDirectory() && (stat.mode & STICKY) !== 0
  return (byGroup || byOthers) && !kept
    ? `${path} can be written by others (${octal(stat.mode)})`
    : null
}

const folderChain = (path: string): readonly string[] => {
  const above = dirname(path)
  return above === path ? [path] : [...folderChain(above), path]
}

/** Throws for the first of the file and the folders above it that others could have changed. */
const checkChain = (trust: Trust, file: string, path: string): void => {
  for (const part of folderChain(path)) {
    const weak = weakness(trust, part, lstatSync(part))
    if (weak !== null) throw unusable(file, weak)
  }
}

const MOST = MiB

const readChecked = (file: string, trust: Trust): string => {
  checkChain(trust, file, file)
  const real = realpathSync(file)
  if (real !== file) checkChain(trust, file, real)
  const fd = openSync(real, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const stat = fstatSync(fd)
    if (!stat.isFile()) throw unusable(file, 'it is not a file')
    if (stat.size > MOST) throw unusable(file, 'it is too large')
    return readFileSync(fd, 'utf8')
  } finally {
    closeSync(fd)
  }
}

const MISSING =
  'it does not exist; an agent does nothing without one: enrol with --allow-source, or write it'

const read = (file: string, trust: Trust): Policy => {
  try {
    return parsePolicy(file, readChecked(file, trust))
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') throw unusable(file, MISSING)
    throw /^E[A-Z0-9]+$/.test(code) ? unusable(file, problemOf(error)) : error
  }
}

/** Without links on the way: of what is not there, the deepest part that is, and the rest as it is named. */
const realOf = (path: Bytes): Bytes => {
  try {
    return realpathSync.native(fsPath(path), 'buffer').toString('latin1')
  } catch {
    if (path === '/') return path
    const cut = path.lastIndexOf('/')
    const above = realOf(path.slice(0, Math.max(1, cut)))
    return `${above === '/' ? '' : above}${path.slice(cut)}`
  }
}

export const policyFile = (given: string, trust: Trust): Policies => {
  const file = resolve(given)
  return {
    read: () => {
      const { sources, restores, ...rest } = read(file, trust)
      return { ...rest, sources: sources.map(realOf), restores: restores.map(realOf) }
    },
    real: realOf,
  }
}

const isWritten = (file: string, text: string): boolean => {
  try {
    return readFileSync(file, 'utf8') === text
  } catch {
    return false
  }
}

/** Writes a policy where there is none. Throws `WRONG_USE` where there is another one: it is changed by hand. */
export const writePolicy = (given: string, text: string): void => {
  const file = resolve(given)
  if (isWritten(file, text)) return
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
  try {
    const fd = openSync(file, 'wx', 0o644)
    try {
      writeSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    const problem =
      codeOf(error) === 'EEXIST'
        ? `There is a local policy in ${file} already: change it there, and leave the --allow- options out`
        : `The local policy cannot be written: ${problemOf(error)}; name another place with --policy`
    throw fail('WRONG_USE', { problem })
  }
}
