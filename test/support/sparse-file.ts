/** Files with data only here and there. */
import { createHash } from 'node:crypto'
import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs'
import { fsPath } from '#agent/io/path.ts'

const { O_CREAT, O_NONBLOCK, O_RDWR, O_TRUNC } = constants

/** Bytes that do not shrink, the same for the same name. */
export const noise = (name: string, length: number): Buffer => {
  const block = createHash('sha512').update(name).digest()
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 64) {
    block.writeUInt32LE(at, 0)
    block.copy(bytes, at)
  }
  return bytes
}

/** A file of this length with data only at these places. */
export const sparseFile = (
  path: string,
  size: number,
  data: readonly (readonly [offset: number, length: number])[],
): void => {
  const fd = openSync(fsPath(path), O_RDWR | O_CREAT | O_TRUNC | O_NONBLOCK)
  try {
    ftruncateSync(fd, size)
    for (const [offset, length] of data)
      writeSync(fd, noise(`${path} ${offset}`, length), 0, length, offset)
  } finally {
    closeSync(fd)
  }
}
