/** The folder restored into: what is made in it other than whole small files, which the threads make. */
import { mkdirSync, readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { fail } from '#shared/errors.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import type { DirectoryRef, Naming } from '../core/restore-job.ts'
import type { Maker, OpenDirectory, OpenFile, RestoreTarget } from '../core/restore-ports.ts'
import { native } from './native.ts'
import { AS_DIRECTORY, setAttributes, setTime } from './restore-attributes.ts'
import { createDirectories, type Directories, type Hold } from './restore-directories.ts'
import { type Aside, makeLink, makeNode, openFile, within } from './restore-make.ts'
import {
  BY_HANDLE,
  close,
  foldsNames,
  guarded,
  type Handle,
  handsDown,
  inside,
  look,
  openTop,
  passesGroupOn,
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

/** Restores into a new folder, or an empty one. `tag` must be random: temporary files are `.holdfast-<tag>-…`. */
export const openTarget = (folder: string, tag: string): RestoreTarget => {
  const top = openEmpty(resolve(folder))
  const folds = guarded('/', () => foldsNames(top, tag))
  return targetIn(top, {
    tag,
    shared: false,
    // What a tree calls by two names may be one here; and in the top folder others may be at work.
    namingIn: (dir) => (folds || dir === '/' ? 'exclusive' : 'fresh'),
    groupFromTarget: passesGroupOn(top),
    entered: () => undefined,
  })
}

export type TargetSetup = {
  readonly tag: string
  readonly shared: boolean
  readonly namingIn: (dir: Bytes) => Naming
  readonly groupFromTarget: boolean
  /** Called with each directory that is opened to be written into. */
  readonly entered: (directory: Handle) => void
}

/** What can be done in the folder that is open; it is closed with the target. */
export const targetIn = (top: Handle, setup: TargetSetup): RestoreTarget => {
  const directories = createDirectories(top)
  const making = makingIn(directories, setup)
  return {
    maker: makerOf(setup.groupFromTarget),
    setsAll: native() !== null,
    shared: setup.shared,
    ...directoriesIn(directories, setup),
    ...making,
    close: () => {
      making.dropAll()
      directories.closeAll()
    },
  }
}

const refOf = (handle: Handle, naming: Naming): DirectoryRef => ({
  fd: BY_HANDLE ? handle.fd : null,
  path: handle.path,
  naming,
  inherits: handsDown(handle),
})

type DirectoryCalls = Pick<
  RestoreTarget,
  'makeDirectory' | 'directory' | 'existing' | 'finishDirectory' | 'resetTime'
>

const directoriesIn = (
  directories: Directories,
  { tag, shared, namingIn, entered }: TargetSetup,
): DirectoryCalls => {
  const opened = (dir: Bytes, { handle, release }: Hold): OpenDirectory => ({
    ref: refOf(handle, namingIn(dir)),
    look: (name) => guarded(pathOf(dir, name), () => look(handle, name)),
    folds: () => guarded(dir, () => foldsNames(handle, tag)),
    done: release,
  })
  const inDirectory = <T>(dir: Bytes, act: (handle: Handle) => T): T =>
    guarded(dir, () => within(directories, dir, act))
  return {
    makeDirectory: (dir, name) =>
      guarded(pathOf(dir, name), () => {
        directories.make(dir, name, !shared)
      }),
    directory: (dir, onWay) =>
      guarded(dir, () => {
        const hold = directories.hold(dir, onWay)
        entered(hold.handle)
        return opened(dir, hold)
      }),
    existing: (dir) =>
      guarded(dir, () => {
        const hold = directories.holdExisting(dir)
        return hold === null ? null : opened(dir, hold)
      }),
    finishDirectory: (dir, attributes) =>
      inDirectory(dir, ({ fd }) => setAttributes(fd, attributes, AS_DIRECTORY)),
    resetTime: (dir, mtime) =>
      inDirectory(dir, ({ fd }) => {
        setTime(fd, mtime)
      }),
  }
}

type MakingCalls = Pick<RestoreTarget, 'file' | 'node' | 'link'> & {
  /** What a restore that was stopped leaves under temporary names. */
  readonly dropAll: () => void
}

const makingIn = (directories: Directories, { tag, namingIn }: TargetSetup): MakingCalls => {
  const unfinished = new Set<OpenFile>()
  let made = 0
  const aside = (dir: Bytes): Aside => {
    made += 1
    return { temporary: `.holdfast-${tag}-m${made}`, naming: namingIn(dir) }
  }
  return {
    file: (dir, name, size) =>
      guarded(pathOf(dir, name), () => {
        const ended = (): void => void unfinished.delete(open)
        const open = openFile(directories, { dir, name, size, ...aside(dir) }, ended)
        unfinished.add(open)
        return open
      }),
    node: (dir, name, node) =>
      guarded(pathOf(dir, name), () =>
        within(directories, dir, (parent) => makeNode(parent, name, { node, ...aside(dir) })),
      ),
    link: (from, dir, name) =>
      guarded(pathOf(dir, name), () => {
        within(directories, dir, (parent) => {
          within(directories, from.dir, (old) => {
            makeLink(inside(old, from.name), { parent, name }, aside(dir))
          })
        })
      }),
    dropAll: () => {
      for (const open of unfinished) open.drop()
    },
  }
}

const makerOf = (groupFromTarget: boolean): Maker => {
  const uid = process.geteuid?.() ?? -1
  const gid = process.getegid?.() ?? -1
  return { uid, gid, root: uid === 0, groupFromTarget }
}
