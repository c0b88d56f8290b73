/** Random trees of every kind of entry, and random edits of them, from a seed. What cannot be done changes nothing. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { native } from '#agent/io/native.ts'
import { fsPath } from '#agent/io/path.ts'
import { MiB } from '#shared/units.ts'
import type { Seeded } from './seeded.ts'
import { noise, sparseFile } from './sparse-file.ts'

const ROOT = process.geteuid?.() === 0
const NAMES = ['a', 'a-', 'a.b', 'B', '\xc3\xbc', '\xff\xfe', 'new\nline', ' ', 'z'.repeat(200)]
const SIZES = [0, 1, 100, 4096, 5000, 70_000, 600_000, 5 * MiB]
const MODES = [0o600, 0o644, 0o755, 0o4755, 0o2750, 0o1777, 0o400, 0]
const XATTRS = ['user.a', 'user.b', 'user.\xff', ...(ROOT ? ['trusted.c'] : [])]
const LISTS = ['u:5:r', 'g:6:rwx', 'u:7:-,u:8:x,m::r']
const DEEPEST = 4

const { O_APPEND, O_CREAT, O_NONBLOCK, O_TRUNC, O_WRONLY } = constants
/** A pipe without a reader is refused, not waited for. */
const WRITE = O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK
const APPEND = O_WRONLY | O_APPEND | O_NONBLOCK

const put = (path: string, flags: number, content: string | Uint8Array): void => {
  const fd = openSync(fsPath(path), flags, 0o644)
  try {
    writeFileSync(fd, content)
  } finally {
    closeSync(fd)
  }
}

type Place = { readonly top: string; readonly dice: Seeded }

/** A path that may be there or not. */
const anyPath = ({ top, dice }: Place): string =>
  top + Array.from({ length: 1 + dice.below(DEEPEST) }, () => `/${dice.pick(NAMES)}`).join('')

/** One that is there, if anything is. */
const somePath = ({ top, dice }: Place): string => {
  let at = top
  for (let level = 0; level < DEEPEST; level += 1) {
    const names = readdirSync(fsPath(at), { encoding: 'latin1' }).sort()
    if (names.length === 0) break
    at = `${at}/${dice.pick(names)}`
    if (!lstatSync(fsPath(at)).isDirectory() || dice.chance(0.4)) break
  }
  return at
}

/** One that is no folder, if it is met. */
const someFile = (place: Place): string => {
  let path = somePath(place)
  for (let n = 0; n < 5 && lstatSync(fsPath(path)).isDirectory(); n += 1) path = somePath(place)
  return path
}

const blocks = (dice: Seeded, size: number): (readonly [number, number])[] =>
  Array.from({ length: 1 + dice.below(5) }, () => 4096 * dice.below(size / 4096 - 1))
    .sort((a, b) => a - b)
    .map((offset) => [offset, 4096 - dice.below(2) * 100] as const)

const EDITS: Readonly<Record<string, (place: Place) => void>> = {
  write: (place) => {
    const path = anyPath(place)
    mkdirSync(fsPath(path.slice(0, path.lastIndexOf('/'))), { recursive: true })
    const { dice } = place
    put(path, WRITE, noise(`${dice.below(50)}`, dice.pick(SIZES)))
  },
  sparse: (place) => {
    const size = place.dice.pick([64 * 1024, MiB + 7, 20 * MiB])
    sparseFile(anyPath(place), size, blocks(place.dice, size))
  },
  append: (place) => put(someFile(place), APPEND, 'more'),
  shrink: (place) => truncateSync(fsPath(someFile(place)), place.dice.below(3000)),
  change: (place) => {
    const fd = openSync(fsPath(someFile(place)), 'r+')
    writeSync(fd, 'changed', place.dice.below(100_000))
    closeSync(fd)
  },
  folder: (place) => void mkdirSync(fsPath(anyPath(place)), { recursive: true }),
  remove: (place) => {
    const path = somePath(place)
    if (path !== place.top) rmSync(fsPath(path), { recursive: true })
  },
  move: (place) => renameSync(fsPath(somePath(place)), fsPath(anyPath(place))),
  hardLink: (place) =>
    linkSync(fsPath(someFile(place)), `${place.top}/linked ${place.dice.below(20)}`),
  link: (place) => symlinkSync(fsPath(place.dice.pick(NAMES)), fsPath(anyPath(place))),
  fifo: (place) => void execFileSync('mkfifo', [`${place.top}/pipe ${place.dice.below(3)}`], QUIET),
  device: (place) => {
    if (ROOT)
      execFileSync('mknod', [`${place.top}/null ${place.dice.below(3)}`, 'c', '1', '3'], QUIET)
  },
  mode: (place) => {
    const path = somePath(place)
    if (!lstatSync(fsPath(path)).isSymbolicLink()) chmodSync(fsPath(path), place.dice.pick(MODES))
  },
  owner: (place) => {
    if (ROOT) lchownSync(fsPath(somePath(place)), place.dice.below(3), place.dice.below(3))
  },
  time: (place) => {
    const ns = BigInt(place.dice.below(4_000_000)) * 1_000_000_001n - 500_000_000_000_000n
    native()?.setTime(fsPath(somePath(place)), ns)
  },
  attribute: (place) => {
    const value = 'v\0'.repeat(place.dice.below(200))
    native()?.setAttribute(fsPath(somePath(place)), place.dice.pick(XATTRS), value)
  },
  noAttribute: (place) =>
    native()?.removeAttribute(fsPath(somePath(place)), place.dice.pick(XATTRS)),
  accessList: (place) => {
    const args = [...(place.dice.chance(0.3) ? ['-d'] : []), '-m', place.dice.pick(LISTS), '--']
    const path = somePath(place)
    // It takes its arguments as text: only names that are.
    if (/^[\x00-\x7f]*$/.test(path)) execFileSync('setfacl', [...args, path], QUIET)
  },
  noAccessList: (place) => {
    const path = somePath(place)
    if (/^[\x00-\x7f]*$/.test(path)) execFileSync('setfacl', ['-b', '--', path], QUIET)
  },
}
const QUIET = { stdio: 'ignore' } as const
const KINDS = Object.keys(EDITS)
const OFTEN = [
  'write',
  'write',
  'write',
  'folder',
  'sparse',
  'hardLink',
  'link',
  'attribute',
  'accessList',
  'append',
]

/** What the file system or its program refuses is no edit. */
const isRefusal = (error: unknown): boolean =>
  error instanceof Error && ('code' in error || 'status' in error)

export const editTree = (top: string, dice: Seeded, count: number): void => {
  for (let n = 0; n < count; n += 1) {
    const kind = dice.pick([...KINDS, ...OFTEN])
    try {
      EDITS[kind]?.({ top, dice })
    } catch (error) {
      if (!isRefusal(error)) throw error
    }
  }
}
