/**
 * Paths that cannot be led astray. Node has no openat: on Linux `/proc/self/fd/<n>/<name>` is the same thing, as the
 * kernel resolves it from the open directory itself, so that renaming or replacing what lies above changes nothing.
 * Each step opens one name with O_NOFOLLOW. Elsewhere the path itself has to do, checked for links at each step.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmSync,
} from 'node:fs'
import { fail, Failure, problemOf } from '#shared/errors.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { DEFAULT } from '../core/attributes.ts'
import type { Taken } from '../core/restore-ports.ts'
import { native } from './native.ts'

const ASCII = /^[\x00-\x7f]*$/
/** Whether a name is looked up in an open directory, and not along its path. */
export const BY_HANDLE = process.platform === 'linux'
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/** What the calls of `fs` take for a byte string: most are ASCII, and a string is quicker. */
export const rawPath = (bytes: Bytes): string | Buffer =>
  ASCII.test(bytes) ? bytes : Buffer.from(bytes, 'latin1')

/** An open directory, and the path that leads to it from any thread. */
export type Handle = { readonly fd: number; readonly path: Bytes }

/** `name` in the directory, for any call that does not follow a last link. */
export const inside = (directory: Handle, name: Bytes): string | Buffer =>
  rawPath(`${directory.path}/${name}`)

/** The prefix by which threads name an open directory. */
export const handlePath = (fd: number, path: Bytes): Bytes =>
  BY_HANDLE ? `/proc/self/fd/${String(fd)}` : path

export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

const UNSAFE: ReadonlySet<string> = new Set([
  'EEXIST',
  'EISDIR',
  'ELOOP',
  'ENOENT',
  'ENOTDIR',
  'EXDEV',
])

/** What the system said, as what it means for a path of the tree. */
export const targetError = (path: Bytes, error: unknown): Failure => {
  if (error instanceof Failure) return error
  const code = codeOf(error)
  return fail(
    UNSAFE.has(code) ? 'TARGET_UNSAFE' : 'TARGET_UNWRITABLE',
    { path: showPath(path), problem: PROBLEMS[code] ?? problemOf(error), system: code },
    { cause: error },
  )
}

export const guarded = <T>(path: Bytes, act: () => T): T => {
  try {
    return act()
  } catch (error) {
    throw targetError(path, error)
  }
}

const PROBLEMS: Readonly<Record<string, string>> = {
  // The tree has each directory before what lies in it; a hostile one may not.
  ENOENT: 'the directory that it is in is not there',
  EEXIST: 'there is something of this name already',
  EISDIR: 'there is a directory in its place',
  ELOOP: 'it leads through a symbolic link',
  ENOTDIR: 'it leads through something that is not a directory',
  ENOSPC: 'there is no space left',
  EDQUOT: 'the quota of its owner is used up',
  EACCES: 'the system does not permit it',
  EPERM: 'the system does not permit it',
  ENAMETOOLONG: 'the name is too long for this file system',
  EILSEQ: 'this file system does not take the name',
}

/** A byte string for people. */
export const showPath = (path: Bytes): string => Buffer.from(path, 'latin1').toString('utf8')

/** Opens a directory that must be one and no link, or throws what the system said. */
export const openBelow = (parent: Handle, name: Bytes): Handle => {
  const path = inside(parent, name)
  if (!BY_HANDLE && lstatSync(path).isSymbolicLink()) throw loop()
  try {
    const fd = openSync(path, DIRECTORY)
    return { fd, path: handlePath(fd, `${parent.path}/${name}`) }
  } catch (error) {
    throw isLink(path, error) ? loop() : error
  }
}

const loop = (): Error => Object.assign(new Error('a symbolic link'), { code: 'ELOOP' })

/** The system says of a link what it says of a file: that it is no directory. */
const isLink = (path: string | Buffer, error: unknown): boolean =>
  codeOf(error) === 'ENOTDIR' &&
  lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true

/** Makes `name` (0700) and opens it; `null` where it is there. */
export const makeBelow = (parent: Handle, name: Bytes): Handle | null => {
  try {
    mkdirSync(inside(parent, name), 0o700)
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return null
    throw error
  }
  return openBelow(parent, name)
}

export const look = (directory: Handle, name: Bytes): Taken => {
  const stat = lstatSync(inside(directory, name), { throwIfNoEntry: false })
  if (stat === undefined) return 'nothing'
  return stat.isDirectory() ? 'directory' : 'other'
}

/** Opens the folder that a person named: links in that name are the person's own. */
export const openTop = (path: string): Handle => {
  const bytes = Buffer.from(path, 'utf8').toString('latin1')
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  return { fd, path: handlePath(fd, bytes) }
}

export const close = (handle: Handle): void => {
  closeSync(handle.fd)
}

const NEW_FILE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW

/** A new file of this name, which nobody else can read yet. */
export const createFile = (path: string | Buffer): number => openSync(path, NEW_FILE, 0o600)

/** The same name in capitals, and with the letter and its accent apart. */
const PROBE = { made: 'name-\u00e9', others: ['NAME-\u00e9', 'name-e\u0301'] } as const

/**
 * Whether two names of a tree can be one here: file systems that fold case or normalize do so in all folders made
 * below one that does. Leaves nothing behind.
 */
export const foldsNames = (directory: Handle, tag: string): boolean => {
  const path = (name: string): string => `${directory.path}/.holdfast-${tag}-${name}`
  closeSync(createFile(path(PROBE.made)))
  try {
    return PROBE.others.some((name) => existsSync(path(name)))
  } finally {
    rmSync(path(PROBE.made))
  }
}

const handing = new WeakMap<Handle, boolean>()

/** Whether the directory hands an access list down to what is made in it; asked once. */
export const handsDown = (directory: Handle): boolean => {
  let hands = handing.get(directory)
  if (hands === undefined) {
    hands = native()?.hasAttribute(directory.fd, DEFAULT) ?? false
    handing.set(directory, hands)
  }
  return hands
}

/** Whether the directory hands its group down to what is made in it. */
export const passesGroupOn = (handle: Handle): boolean => (fstatSync(handle.fd).mode & 0o2000) !== 0
