import { join } from 'node:path'
import { bucketPath, type Disk } from './disk.ts'

/**
 * Where the bytes of a key lie. Ordinarily at `<folder>/<bucket>/<key>`. A key goes *aside* when it cannot be such a path:
 * an empty, `.` or `..` component (so also every key that ends in a slash), a component over 255 bytes, a NUL, a path too
 * long for the system, on a file system that folds case any letter that could fold; and when it is both a key and the
 * prefix of others: whichever of `a` and `a/b` came second. The first kinds are fixed by the key alone; the last depends on
 * what is there, so a reader looks in both places, the plain one first (objects.ts says how writers keep them apart).
 *
 * Aside, the key is written in hexadecimal, 240 digits a folder, the last piece followed by `.o`: that sorts like the key.
 */
const MAX_COMPONENT_BYTES = 255
/** PATH_MAX is 4096 on Linux and 1024 on macOS, the terminating NUL included. */
const MAX_PATH_BYTES = process.platform === 'darwin' ? 1023 : 4095
const HEX_DIGITS = 240

const holds = (component: string, caseless: boolean): boolean =>
  component !== '' &&
  component !== '.' &&
  component !== '..' &&
  !component.includes('\0') &&
  Buffer.byteLength(component) <= MAX_COMPONENT_BYTES &&
  !(caseless && /[^\x01-\x40\x5b-\x7e]/.test(component))

export const plainPath = (disk: Disk, bucket: string, key: string): string | null => {
  if (!key.split('/').every((component) => holds(component, disk.caseless))) return null
  const path = join(bucketPath(disk, bucket), key)
  return Buffer.byteLength(path) <= MAX_PATH_BYTES ? path : null
}

export const asideRoot = (disk: Disk, bucket: string): string => join(disk.hidden, 'aside', bucket)

export const asidePath = (disk: Disk, bucket: string, key: string): string => {
  const hex = Buffer.from(key).toString('hex')
  const pieces = hex.match(new RegExp(`.{1,${HEX_DIGITS}}`, 'g')) ?? []
  return `${join(asideRoot(disk, bucket), ...pieces)}.o`
}

/** The key's bytes that one name aside stands for, as latin1; null for a name that we never write. */
export const asideFragment = (name: string, isFolder: boolean): string | null => {
  const hex = isFolder ? name : name.endsWith('.o') ? name.slice(0, -2) : ''
  const whole = isFolder ? hex.length === HEX_DIGITS : hex.length > 0 && hex.length <= HEX_DIGITS
  if (!whole || !/^(?:[0-9a-f]{2})+$/.test(hex)) return null
  return Buffer.from(hex, 'hex').toString('latin1')
}
