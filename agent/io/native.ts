/** The port `Native` over the C library of the system, by koffi, which needs no compiler and no install step. Linux. */
import { constants } from 'node:fs'
import { createRequire } from 'node:module'
import { getSystemErrorName } from 'node:util'
import type * as koffi from 'koffi'
import type { Attribute } from '#shared/format/tree.ts'
import { KiB } from '#shared/units.ts'
import { isKept } from '../core/attributes.ts'
import type { FileRef, Native } from '../ports/native.ts'
import { faultOf } from './fault.ts'

type Koffi = typeof koffi

const isKoffi = (loaded: unknown): loaded is Koffi =>
  typeof loaded === 'object' && loaded !== null && 'load' in loaded && 'errno' in loaded

const required = (): unknown => createRequire(import.meta.url)('koffi')

/** `paths`: for the byte string of a path with its NUL. A call that fails gives -1. */
const callsOf = (loaded: Koffi): Calls => {
  const c = loaded.load(null)
  const call = (definition: string): Call => c.func(definition)
  return {
    list: [
      call('int64_t flistxattr(int file, void *list, size_t size)'),
      call('int64_t llistxattr(void *file, void *list, size_t size)'),
    ],
    get: [
      call('int64_t fgetxattr(int file, void *name, void *value, size_t size)'),
      call('int64_t lgetxattr(void *file, void *name, void *value, size_t size)'),
    ],
    set: [
      call('int fsetxattr(int file, void *name, void *value, size_t size, int flags)'),
      call('int lsetxattr(void *file, void *name, void *value, size_t size, int flags)'),
    ],
    remove: [
      call('int fremovexattr(int file, void *name)'),
      call('int lremovexattr(void *file, void *name)'),
    ],
    futimens: call('int futimens(int file, void *times)'),
    utimensat: call('int utimensat(int dir, void *file, void *times, int flags)'),
    chmod: call('int fchmodat(int dir, void *file, uint32_t mode, int flags)'),
    openat: call('int openat(int dir, void *file, int flags, uint32_t mode)'),
    close: call('int close(int file)'),
    renameat: call('int renameat(int fromDir, void *from, int toDir, void *to)'),
    renameat2: call('int renameat2(int fromDir, void *from, int toDir, void *to, uint32_t flags)'),
    seek: call('int64_t lseek(int file, int64_t offset, int whence)'),
    system: call('int64_t syscall(int64_t number, int64_t a, int64_t b, int64_t c)'),
    errno: () => loaded.errno(),
  }
}

export type Call = (...args: readonly (number | Uint8Array | null)[]) => number
/** The call for an open file, and that for a path. */
type Pair = readonly [Call, Call]
type Calls = {
  readonly list: Pair
  readonly get: Pair
  readonly set: Pair
  readonly remove: Pair
  readonly futimens: Call
  readonly utimensat: Call
  readonly chmod: Call
  readonly openat: Call
  readonly close: Call
  readonly renameat: Call
  readonly renameat2: Call
  readonly seek: Call
  readonly system: Call
  readonly errno: () => number
}

const SEEK_DATA = 3
const SEEK_HOLE = 4
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
/** Most that Linux takes as a list of names, and as a value. */
const MOST = 64 * KiB

/** A file system without attributes, and an attribute that has just gone: both are no fault. */
const NOTHING: ReadonlySet<string> = new Set(['ENOTSUP', 'EOPNOTSUPP', 'ENODATA'])

const problem = (calls: Calls): Error & { readonly code: string } => {
  const code = getSystemErrorName(-calls.errno())
  return Object.assign(new Error(code), { code })
}

/** With the zero byte that ends it in C. */
const terminated = (text: string | Buffer): Buffer =>
  typeof text === 'string' ? Buffer.from(`${text}\0`, 'latin1') : Buffer.concat([text, ZERO])

const ZERO = Buffer.alloc(1)

type Ref = readonly [which: 0 | 1, file: number | Buffer]

/** A path that is given as a string is ASCII, as everywhere here. */
const refOf = (file: FileRef): Ref => (typeof file === 'number' ? [0, file] : [1, terminated(file)])

const nativeOf = (calls: Calls): Native => ({
  ...readingOf(calls),
  ...writingOf(calls),
  ...namingOf(calls),
  nextData: (fd, from) => seek(calls, { fd, from, whence: SEEK_DATA }),
  nextHole: (fd, from) => seek(calls, { fd, from, whence: SEEK_HOLE }),
  setDiskPriority: (thread, value) => {
    const number = IOPRIO_SET.get(process.arch)
    if (number !== undefined) calls.system(number, IOPRIO_WHO_PROCESS, thread, value)
  },
})

type Seek = { readonly fd: number; readonly from: number; readonly whence: number }

const seek = (calls: Calls, { fd, from, whence }: Seek): number => {
  const found = calls.seek(fd, from, whence)
  if (found >= 0) return found
  const error = problem(calls)
  if (error.code === 'ENXIO') return -1
  throw error
}

const readingOf = (calls: Calls): Pick<Native, 'attributes' | 'hasAttribute'> => {
  const names = Buffer.allocUnsafeSlow(MOST)
  const value = Buffer.allocUnsafeSlow(MOST)
  /** -1 where there is nothing of the kind. */
  const sizeOf = (result: number): number => {
    if (result >= 0) return result
    const error = problem(calls)
    if (NOTHING.has(error.code)) return -1
    throw error
  }
  const read = ([which, file]: Ref): readonly Attribute[] => {
    const size = sizeOf(calls.list[which](file, names, MOST))
    if (size <= 0) return NONE
    const found: Attribute[] = []
    for (const name of names.toString('latin1', 0, size - 1).split('\0')) {
      if (!isKept(name)) continue
      const length = sizeOf(calls.get[which](file, terminated(name), value, MOST))
      if (length >= 0) found.push([name, value.toString('latin1', 0, length)])
    }
    return found
  }
  return {
    attributes: (file) => {
      const ref = refOf(file)
      // The size alone is what costs least, and mostly there is nothing.
      if (calls.list[ref[0]](ref[1], null, 0) === 0) return NONE
      try {
        return read(ref)
      } catch (error) {
        return faultOf(error)
      }
    },
    hasAttribute: (file, name) => {
      const [which, of] = refOf(file)
      return calls.get[which](of, terminated(name), null, 0) >= 0
    },
  }
}

const NONE: readonly Attribute[] = []

const SECOND = 1_000_000_000n

/** struct timespec, twice. The seconds are rounded down also before 1970. */
const timesOf = (ns: bigint): Buffer => {
  const rest = ((ns % SECOND) + SECOND) % SECOND
  const times = Buffer.allocUnsafe(32)
  for (const at of [0, 16]) {
    times.writeBigInt64LE((ns - rest) / SECOND, at)
    times.writeBigInt64LE(rest, at + 8)
  }
  return times
}

const writingOf = (
  calls: Calls,
): Pick<Native, 'setAttribute' | 'removeAttribute' | 'setTime' | 'setMode'> => {
  const done = (result: number): void => {
    if (result < 0) throw problem(calls)
  }
  return {
    setAttribute: (file, name, value) => {
      const [which, of] = refOf(file)
      const bytes = Buffer.from(value, 'latin1')
      done(calls.set[which](of, terminated(name), bytes, bytes.length, 0))
    },
    removeAttribute: (file, name) => {
      const [which, of] = refOf(file)
      if (calls.remove[which](of, terminated(name)) >= 0) return
      const error = problem(calls)
      if (!NOTHING.has(error.code)) throw error
    },
    setTime: (file, mtime) => {
      const times = timesOf(mtime)
      if (typeof file === 'number') done(calls.futimens(file, times))
      else done(calls.utimensat(AT_FDCWD, terminated(file), times, AT_SYMLINK_NOFOLLOW))
    },
    setMode: (path, mode) => {
      done(calls.chmod(AT_FDCWD, terminated(path), mode, AT_SYMLINK_NOFOLLOW))
    },
  }
}

const NEW_FILE = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW
const O_CLOEXEC = 0o2000000
const RENAME_NOREPLACE = 1
/** From a system, or a file system, that does not know RENAME_NOREPLACE. */
const UNKNOWN: ReadonlySet<string> = new Set(['EINVAL', 'ENOSYS'])

const namingOf = (
  calls: Calls,
): Pick<Native, 'createIn' | 'close' | 'renameIn' | 'renameNewIn'> => ({
  createIn: (directory, name) => {
    const fd = calls.openat(directory, terminated(name), NEW_FILE | O_CLOEXEC, 0o600)
    if (fd < 0) throw problem(calls)
    return fd
  },
  close: (fd) => {
    if (calls.close(fd) < 0) throw problem(calls)
  },
  renameIn: (dir, from, to) => {
    if (calls.renameat(dir, terminated(from), dir, terminated(to)) < 0) throw problem(calls)
  },
  renameNewIn: (dir, from, to) => {
    const names = [dir, terminated(from), dir, terminated(to)] as const
    if (calls.renameat2(...names, RENAME_NOREPLACE) >= 0) return true
    const error = problem(calls)
    if (UNKNOWN.has(error.code)) return false
    throw error
  },
})

/** A function of the C library; null where that has none of this kind, or nothing can be called. */
export const libraryCall = (definition: string): Call | null => {
  if (process.platform !== 'linux') return null
  try {
    const found = required()
    return isKoffi(found) ? found.load(null).func(definition) : null
  } catch {
    return null
  }
}

/** The C library has no name for this one. */
const IOPRIO_SET: ReadonlyMap<string, number> = new Map([
  ['x64', 251],
  ['arm64', 30],
])
const IOPRIO_WHO_PROCESS = 1

/** Null where the package is not there, does not load, or the system is another one. */
export const loadNative = (load: () => unknown = required): Native | null => {
  if (process.platform !== 'linux') return null
  try {
    const found = load()
    return isKoffi(found) ? nativeOf(callsOf(found)) : null
  } catch {
    return null
  }
}

let loaded: Native | null | undefined

/** Loaded once a thread, when it is first needed. */
export const native = (): Native | null => {
  if (loaded === undefined) loaded = loadNative()
  return loaded
}
