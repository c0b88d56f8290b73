/** Restores into a place that may hold things already: a folder that somebody named, or `/`, where everything was. */
import { mkdirSync, readdirSync, readlinkSync, realpathSync, unlinkSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { Bytes } from '#shared/format/tree-order.ts'
import type { PlaceAsk, RestoreTarget } from '../core/restore-ports.ts'
import { targetIn } from './restore-fs.ts'
import {
  close,
  codeOf,
  guarded,
  type Handle,
  inside,
  openTop,
  targetError,
} from './restore-paths.ts'

const bytesOf = (path: string): Bytes => Buffer.from(path, 'utf8').toString('latin1')

/** Where a folder is, or would be, once the links in its name are followed. */
export const realPlace = (folder: string): string => {
  const path = resolve(folder)
  try {
    return realpathSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT' || path === '/') throw error
    return join(realPlace(dirname(path)), basename(path))
  }
}

/** Where an open folder is by now. */
const placeOf = (top: Handle, path: string): string =>
  process.platform === 'linux' ? readlinkSync(`/proc/self/fd/${String(top.fd)}`) : realPlace(path)

/**
 * Removes what a restore that was killed has left here: only names with its own random tag, which this agent wrote down
 * before it used it, can be such.
 */
const sweep = (directory: Handle, leftovers: readonly string[]): void => {
  const starts = leftovers.map((tag) => `.holdfast-${tag}-`)
  for (const name of readdirSync(inside(directory, '.'), { encoding: 'latin1' })) {
    if (!starts.some((start) => name.startsWith(start))) continue
    try {
      unlinkSync(inside(directory, name))
    } catch (error) {
      // A directory is none of ours; what is gone is gone.
      if (!GONE.has(codeOf(error))) throw error
    }
  }
}

const GONE: ReadonlySet<string> = new Set(['ENOENT', 'EISDIR', 'EPERM', 'EACCES', 'EROFS'])

/** Makes the folder where it is not there. `allowed` throws where it turns out to be somewhere else. */
export const openPlace = ({
  folder,
  tag,
  replace,
  leftovers,
  allowed,
}: PlaceAsk): RestoreTarget => {
  const path = resolve(folder)
  const top = guarded(bytesOf(path), () => {
    allowed(realPlace(path))
    mkdirSync(path, { recursive: true })
    return openTop(path)
  })
  try {
    allowed(placeOf(top, path))
  } catch (error) {
    close(top)
    throw targetError(bytesOf(path), error)
  }
  return targetIn(top, {
    tag,
    shared: true,
    namingIn: () => (replace ? 'replace' : 'exclusive'),
    // Any directory that is there may hand its group down.
    groupFromTarget: true,
    entered: (directory) => {
      if (leftovers.length > 0) sweep(directory, leftovers)
    },
  })
}
