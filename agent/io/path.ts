/** Byte paths for node:fs, also those that are longer than the kernel takes at once. */
import { closeSync, constants, openSync } from 'node:fs'
import type { Bytes } from '#shared/format/tree-order.ts'

const ASCII = /^[\x00-\x7f]*$/

/** The string itself where it is ASCII (faster), else its bytes. */
export const fsPath = (path: Bytes): string | Buffer =>
  ASCII.test(path) ? path : Buffer.from(path, 'latin1')

/** PATH_MAX without its NUL. */
const LONGEST = 4095
/** Only a place to go on from: no right to read it is needed. Node has no name for it. */
const O_PATH = 0o10000000

/** The last slash before which at most `LONGEST` bytes lie; -1 where one name alone is longer. */
const cutOf = (path: Bytes): number => path.lastIndexOf('/', LONGEST)

/**
 * Calls `use` with a path that the kernel takes. A longer one is walked in stretches: each is opened from the one before
 * (`/proc/self/fd/<n>/…`), as `openat` would.
 */
export const reach = <T>(path: Bytes, use: (path: string | Buffer) => T): T => {
  if (path.length <= LONGEST) return use(fsPath(path))
  let rest = path
  let fd = -1
  try {
    while (rest.length > LONGEST) {
      const cut = cutOf(rest)
      if (cut <= 0) break
      const before = fd
      fd = openSync(fsPath(rest.slice(0, cut)), O_PATH | constants.O_DIRECTORY)
      if (before >= 0) closeSync(before)
      rest = `/proc/self/fd/${String(fd)}${rest.slice(cut)}`
    }
    return use(fsPath(rest))
  } finally {
    if (fd >= 0) closeSync(fd)
  }
}
