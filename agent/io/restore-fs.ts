/** The folder restored into: what is made in it other than whole small files, which the threads make. */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { resolve } from 'node:path'
import { fail } from '#shared/errors.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import type { Attributes } from '../core/restore-job.ts'
import type { ContentlessNode, Maker, OpenFile, RestoreTarget } from '../core/restore-ports.ts'
import { giveName, setAttributes, timeText } from './restore-attributes.ts'
import { createDirectories, type Directories } from './restore-directories.ts'
import {
  close,
  createFile,
  foldsNames,
  guarded,
  type Handle,
  inside,
  openTop,
  passesGroupOn,
  rawPath,
} from './restore-paths.ts'

/** What a new file system holds of its own. */
const NOTHING: ReadonlySet<string> = new Set(['lost+found'])

/** Makes the folder where it is not there. `TARGET_UNSAFE` unless it is a folder and empty. */
const openEmpty = (path: string): Handle => {
  const top = guarded(Buffer.from(path).toString('latin1'), () => {
    mkdirSync(path, { recursive: true })
    return openTop(path)
  })
  const names = readdirSync(inside(top, '.')).filter((name) => !NOTHING.has(name))
  if (names.length > 0) {
    close(top)
    throw fail('TARGET_UNSAFE', { path, problem: 'it is not empty' })
  }
  return top
}

/** `tag` must be random: temporary files are `.holdfast-<tag>-…`. */
export const openTarget = (folder: string, tag: string): RestoreTarget => {
  const top = openEmpty(resolve(folder))
  const directories = createDirectories(top)
  const unfinished = new Set<OpenFile>()
  const folds = guarded('/', () => foldsNames(top, tag))
  // What a tree calls by two names may be one here; and in the top folder others may be at work.
  const taken = (dir: Bytes): boolean => folds || dir === '/'
  let made = 0
  const temporary = (): Bytes => {
    made += 1
    return `.holdfast-${tag}-m${made}`
  }
  return {
    maker: makerOf(top),
    makeDirectory: (dir, name) =>
      guarded(pathOf(dir, name), () => {
        directories.make(dir, name)
      }),
    directory: (dir, make) =>
      guarded(dir, () => {
        const { handle, release } = directories.hold(dir, make)
        return { path: handle.path, exclusive: taken(dir), done: release }
      }),
    file: (dir, name, size) =>
      guarded(pathOf(dir, name), () => {
        const ended = (): void => void unfinished.delete(open)
        const file = { dir, name, temporary: temporary(), size, exclusive: taken(dir) }
        const open = openFile(directories, file, ended)
        unfinished.add(open)
        return open
      }),
    node: (dir, name, node) =>
      guarded(pathOf(dir, name), () => {
        within(directories, dir, (parent) =>
          makeNode(parent, name, { node, temporary: temporary() }),
        )
      }),
    link: (from, dir, name) =>
      guarded(pathOf(dir, name), () => {
        within(directories, dir, (parent) => {
          within(directories, from.dir, (old) => {
            linkSync(inside(old, from.name), inside(parent, name))
          })
        })
      }),
    finishDirectory: (dir, attributes) =>
      guarded(dir, () => {
        within(directories, dir, ({ fd }) => {
          setAttributes(fd, attributes)
        })
      }),
    close: () => {
      // What a restore that was stopped leaves under temporary names.
      for (const open of unfinished) open.drop()
      directories.closeAll()
    },
  }
}

const makerOf = (top: Handle): Maker => {
  const uid = process.geteuid?.() ?? -1
  const gid = process.getegid?.() ?? -1
  return { uid, gid, root: uid === 0, groupFromTarget: passesGroupOn(top) }
}

const within = (directories: Directories, dir: Bytes, act: (parent: Handle) => void): void => {
  const { handle, release } = directories.hold(dir)
  try {
    act(handle)
  } finally {
    release()
  }
}

type NewFile = {
  readonly dir: Bytes
  readonly name: Bytes
  readonly temporary: Bytes
  readonly size: number
  readonly exclusive: boolean
}

const openFile = (directories: Directories, file: NewFile, ended: () => void): OpenFile => {
  const { handle, release } = directories.hold(file.dir)
  const end = (): void => {
    release()
    ended()
  }
  const path = inside(handle, file.temporary)
  let fd: number
  try {
    fd = createFile(path)
  } catch (error) {
    release()
    throw error
  }
  const drop = (): void => {
    closeSync(fd)
    rmSync(path, { force: true })
    end()
  }
  return {
    fd,
    keep: (attributes) => {
      try {
        guarded(pathOf(file.dir, file.name), () => {
          // Whatever ends in a hole is as long as it was.
          ftruncateSync(fd, file.size)
          setAttributes(fd, attributes)
          giveName(path, inside(handle, file.name), file.exclusive)
        })
      } catch (error) {
        drop()
        throw error
      }
      closeSync(fd)
      end()
    },
    drop,
  }
}

type NewNode = { readonly node: ContentlessNode & Attributes; readonly temporary: Bytes }

const makeNode = (parent: Handle, name: Bytes, { node, temporary }: NewNode): void => {
  const path = inside(parent, name)
  if (node.type === 'symlink') symlinkSync(rawPath(node.target), path)
  else makeSpecial(parent, name, { node, temporary })
  if (node.owner !== null) lchownSync(path, node.owner[0], node.owner[1])
  const time = timeText(node.mtime)
  lutimesSync(path, time, time)
}

/** Node has no mknod: the system's own program makes it, in the directory that is open, under an ASCII name. */
const makeSpecial = (parent: Handle, name: Bytes, { node, temporary }: NewNode): void => {
  const how = { cwd: parent.path, stdio: 'pipe' } as const
  const mode = ['-m', (node.mode & 0o777).toString(8), '--', temporary]
  if (node.type === 'fifo') execFileSync('mkfifo', mode, how)
  if (node.type === 'char' || node.type === 'block') {
    const kind = node.type === 'char' ? 'c' : 'b'
    execFileSync('mknod', [...mode, kind, ...node.device.map(String)], how)
  }
  try {
    giveName(inside(parent, temporary), inside(parent, name), true)
  } catch (error) {
    unlinkSync(inside(parent, temporary))
    throw error
  }
}
