/** The port `FileSystem` on node:fs. Synchronous: one lstat through the thread pool costs ten times the call itself. */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statfsSync,
  statSync,
  type BigIntStats,
} from 'node:fs'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { Exact, Fault, Stat } from '../core/stat.ts'
import type { FileSystem } from '../ports.ts'
import type { Native } from '../ports/native.ts'
import { faultOf } from './fault.ts'
import { native } from './native.ts'
import { reach } from './path.ts'
import { quickStat } from './statx.ts'

const NOT_THERE: Fault = { fault: 'ENOENT', problem: 'ENOENT: no such file or directory' }

const exactOf = (stat: BigIntStats): Exact => ({
  mode: Number(stat.mode),
  uid: Number(stat.uid),
  gid: Number(stat.gid),
  nlink: Number(stat.nlink),
  size: Number(stat.size),
  dev: stat.dev,
  ino: stat.ino,
  rdev: stat.rdev,
  mtimeNs: stat.mtimeNs,
  ctimeNs: stat.ctimeNs,
})

const guarded = <T>(read: () => T): T | Fault => {
  try {
    return read()
  } catch (error) {
    return faultOf(error)
  }
}

/** Magic numbers of statfs(2) of file systems that are no files: what they show is made up when it is read. */
const KERNEL_STATE = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x1cd1, // devpts
  0x19800202, // mqueue
  0x42494e4d, // binfmt_misc
  0x62656570, // configfs
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0x67596969, // rpc_pipefs
  0x958458f6, // hugetlbfs
  0x65735543, // fusectl
  0xf97cff8c, // selinuxfs
  0xde5e81e4, // efivarfs
])

/** Names by number from a file of the form of /etc/passwd and /etc/group: `name:x:number:…`. */
const namesFrom = (path: string): ReadonlyMap<number, string> => {
  const names = new Map<number, string>()
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return names
  }
  for (const line of text.split('\n')) {
    const [name, , number] = line.split(':')
    if (name === undefined || name === '' || number === undefined || !/^\d+$/.test(number)) continue
    if (!names.has(Number(number))) names.set(Number(number), name)
  }
  return names
}

/** The first bytes of a file; never of what a link leads to, and without waiting for a pipe. */
const beginningOf = (path: Bytes, length: number): string => {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const fd = reach(path, (at) => openSync(at, flags))
  try {
    const bytes = Buffer.alloc(length)
    return fstatSync(fd).isFile()
      ? bytes.toString('latin1', 0, readSync(fd, bytes, 0, length, 0))
      : ''
  } finally {
    closeSync(fd)
  }
}

/** libuv gives them in order already, which is not promised. */
const inOrder = (names: string[]): readonly Bytes[] => {
  for (let i = 1; i < names.length; i += 1)
    if ((names[i - 1] ?? '') >= (names[i] ?? '')) return names.sort()
  return names
}

const statOf = (path: Bytes): Stat | Fault => {
  try {
    return reach(path, (at) => lstatSync(at, { throwIfNoEntry: false })) ?? NOT_THERE
  } catch (error) {
    return faultOf(error)
  }
}

/** The names of users and groups are read once: a run sees one state of them. */
export const nodeFileSystem = (system: Native | null = native()): FileSystem => {
  let users: ReadonlyMap<number, string> | null = null
  let groups: ReadonlyMap<number, string> | null = null
  const quick = system === null ? null : quickStat()
  return {
    names: (directory) =>
      guarded(() => reach(directory, (path) => inOrder(readdirSync(path, { encoding: 'latin1' })))),
    stat: (path) => quick?.(path) ?? statOf(path),
    exact: (path) => guarded(() => reach(path, (at) => exactOf(lstatSync(at, { bigint: true })))),
    followed: (path) => guarded(() => reach(path, (at) => exactOf(statSync(at, { bigint: true })))),
    target: (path) => guarded(() => reach(path, (at) => readlinkSync(at, { encoding: 'latin1' }))),
    attributes: (path, follow) =>
      system === null
        ? []
        : guarded(() => reach(follow ? `${path}/.` : path, (at) => system.attributes(at))),
    begins: (path, text) => {
      try {
        return beginningOf(path, text.length) === text
      } catch {
        return false
      }
    },
    seesAll: system !== null,
    isKernelState: (directory) => {
      try {
        return KERNEL_STATE.has(reach(directory, (at) => statfsSync(at)).type)
      } catch {
        return false
      }
    },
    user: (uid) => (users ??= namesFrom('/etc/passwd')).get(uid),
    group: (gid) => (groups ??= namesFrom('/etc/group')).get(gid),
  }
}
