/** Files, links and nodes of a restore: made under another name where theirs may be taken, complete before they get it. */
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import type { Attributes, Naming, NotSet } from '../core/restore-job.ts'
import type { ContentlessNode, OpenFile } from '../core/restore-ports.ts'
import {
  AS_FILE,
  giveName,
  type Inherited,
  NOT_INHERITED,
  setAttributes,
  setExtended,
  setTimeAt,
} from './restore-attributes.ts'
import type { Directories } from './restore-directories.ts'
import { native } from './native.ts'
import { createFile, guarded, type Handle, handsDown, inside, rawPath } from './restore-paths.ts'

/** The name to begin under, and how the right one is got. */
export type Aside = { readonly temporary: Bytes; readonly naming: Naming }

/** Does something in a directory that stays open meanwhile. */
export const within = <T>(directories: Directories, dir: Bytes, act: (parent: Handle) => T): T => {
  const { handle, release } = directories.hold(dir, null)
  try {
    return act(handle)
  } finally {
    release()
  }
}

type NewFile = Aside & { readonly dir: Bytes; readonly name: Bytes; readonly size: number }

export const openFile = (directories: Directories, file: NewFile, ended: () => void): OpenFile => {
  const { handle, release } = directories.hold(file.dir, null)
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
      let notSet: NotSet
      try {
        notSet = guarded(pathOf(file.dir, file.name), () => {
          // Whatever ends in a hole is as long as it was.
          ftruncateSync(fd, file.size)
          const missing = setAttributes(fd, attributes, inheritedIn(handle))
          giveName(path, inside(handle, file.name), file.naming)
          return missing
        })
      } catch (error) {
        drop()
        throw error
      }
      closeSync(fd)
      end()
      return notSet
    },
    drop,
  }
}

type Named = { readonly parent: Handle; readonly name: Bytes }

export const makeLink = (
  from: string | Buffer,
  { parent, name }: Named,
  { temporary, naming }: Aside,
): void => {
  const path = inside(parent, name)
  if (naming !== 'replace') {
    linkSync(from, path)
    return
  }
  const aside = inside(parent, temporary)
  linkSync(from, aside)
  try {
    renameSync(aside, path)
  } finally {
    // A rename between two names of one file does nothing, and leaves both.
    rmSync(aside, { force: true })
  }
}

type NewNode = Aside & { readonly node: ContentlessNode & Attributes }

/** Made under its own name where that is free, else beside it, complete, before it takes the name. */
export const makeNode = (
  parent: Handle,
  name: Bytes,
  { node, temporary, naming }: NewNode,
): NotSet => {
  const path = inside(parent, name)
  const aside = inside(parent, temporary)
  if (node.type === 'symlink' && naming !== 'replace') {
    symlinkSync(rawPath(node.target), path)
    return dress(path, node, NOT_INHERITED)
  }
  if (node.type === 'symlink') symlinkSync(rawPath(node.target), aside)
  else makeSpecial(parent, temporary, node)
  try {
    const notSet = dress(aside, node, node.type === 'symlink' ? NOT_INHERITED : inheritedIn(parent))
    giveName(aside, path, naming)
    return notSet
  } catch (error) {
    rmSync(aside, { force: true })
    throw error
  }
}

const inheritedIn = (directory: Handle): Inherited =>
  handsDown(directory) ? AS_FILE : NOT_INHERITED

const dress = (
  path: string | Buffer,
  node: ContentlessNode & Attributes,
  inherited: Inherited,
): NotSet => {
  if (node.owner !== null) lchownSync(path, node.owner[0], node.owner[1])
  const notSet = setExtended(path, node, inherited)
  // A new owner has cleared what mkfifo and mknod do not set anyway: the bits above the permissions.
  if (node.type !== 'symlink' && node.mode > 0o777) native()?.setMode(path, node.mode)
  setTimeAt(path, node.mtime)
  return notSet
}

/** Node has no mknod: the system's own program makes it, in the directory that is open, under an ASCII name. */
const makeSpecial = (
  parent: Handle,
  temporary: Bytes,
  node: ContentlessNode & Attributes,
): void => {
  const how = { cwd: parent.path, stdio: 'pipe' } as const
  const mode = ['-m', (node.mode & 0o777).toString(8), '--', temporary]
  if (node.type === 'fifo') execFileSync('mkfifo', mode, how)
  if (node.type === 'char' || node.type === 'block') {
    const kind = node.type === 'char' ? 'c' : 'b'
    execFileSync('mknod', [...mode, kind, ...node.device.map(String)], how)
  }
}
