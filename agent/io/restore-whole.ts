/** A file of one piece, written as a whole by the thread that has decrypted it. */
import { closeSync, rmSync, writeSync } from 'node:fs'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { DirectoryRef, NotSet, WholeFile } from '../core/restore-job.ts'
import type { Native } from '../ports/native.ts'
import { native } from './native.ts'
import { AS_FILE, giveName, NOT_INHERITED, setAttributes } from './restore-attributes.ts'
import { createFile, rawPath, targetError } from './restore-paths.ts'

export const writeAll = (fd: number, bytes: Uint8Array, at: number | null): void => {
  try {
    let done = 0
    while (done < bytes.length) {
      const position = at === null ? null : at + done
      done += writeSync(fd, bytes, done, bytes.length - done, position)
    }
  } catch (error) {
    throw targetError('', error)
  }
}

/** What is done with names in one directory. */
type Names = {
  /** A new file, which nobody else can read yet. */
  create(name: Bytes): number
  close(fd: number): void
  /** Gives the new file its name. */
  give(temporary: Bytes, name: Bytes): void
}

const byPath = ({ path, naming }: DirectoryRef): Names => {
  const inside = (name: Bytes): string | Buffer => rawPath(`${path}/${name}`)
  return {
    create: (name) => createFile(inside(name)),
    close: closeSync,
    give: (temporary, name) => giveName(inside(temporary), inside(name), naming),
  }
}

/** Opening takes three quarters of the time of the way through /proc, renaming half. */
const byHandle = (system: Native, fd: number, directory: DirectoryRef): Names => ({
  create: (name) => system.createIn(fd, name),
  close: (one) => system.close(one),
  give: (temporary, name) => {
    if (directory.naming !== 'exclusive') system.renameIn(fd, temporary, name)
    else if (!system.renameNewIn(fd, temporary, name)) byPath(directory).give(temporary, name)
  },
})

const namesIn = (directory: DirectoryRef): Names => {
  const { fd } = directory
  const system = fd === null ? null : native()
  return system === null || fd === null ? byPath(directory) : byHandle(system, fd, directory)
}

/** Made under another name, complete, with its attributes; only then it gets its own. */
export const writeWhole = (file: WholeFile, temporary: Bytes, bytes: Uint8Array): NotSet => {
  const { directory, name } = file
  const names = namesIn(directory)
  let fd: number | null = null
  try {
    fd = names.create(temporary)
    writeAll(fd, bytes, null)
    const notSet = setAttributes(fd, file, directory.inherits ? AS_FILE : NOT_INHERITED)
    names.give(temporary, name)
    return notSet
  } catch (error) {
    if (fd !== null) rmSync(rawPath(`${directory.path}/${temporary}`), { force: true })
    throw targetError(name, error)
  } finally {
    if (fd !== null) names.close(fd)
  }
}
