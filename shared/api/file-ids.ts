/**
 * How a file of a backup is named over HTTP. Its path is raw bytes, which need not be text; the id carries them exactly:
 * `f_` and base64url (RFC 4648, section 5) of the path, without padding. An absolute path never looks like an id.
 */
import { fail } from '../errors.ts'
import { parseBase64url, toBase64url } from '../format/bytes.ts'
import { type Bytes, isDir, isName } from '../format/tree-order.ts'

const PREFIX = 'f_'

/** Most characters of an id: a directory of 8,192 bytes, a slash and a name of 1,024. */
export const MAX_FILE_ID = PREFIX.length + Math.ceil((9217 * 4) / 3)

/** The id of an absolute path, `/` included. */
export const fileId = (path: Bytes): string =>
  `${PREFIX}${toBase64url(Buffer.from(path, 'latin1'))}`

/** A path that an entry of a tree can have, or `/`. */
const isPath = (path: Bytes): boolean => {
  const cut = path.lastIndexOf('/')
  return (
    path === '/' || (isDir(cut === 0 ? '/' : path.slice(0, cut)) && isName(path.slice(cut + 1)))
  )
}

/** The path of an id; `null` for what is none. */
export const parseFileId = (id: string): Bytes | null => {
  if (!id.startsWith(PREFIX) || id.length > MAX_FILE_ID) return null
  const bytes = parseBase64url(id.slice(PREFIX.length))
  const path = bytes === null ? '' : Buffer.from(bytes).toString('latin1')
  return isPath(path) ? path : null
}

/**
 * The path that a person or program names by id or by path: absolute, double and last slashes taken away.
 * `VALIDATION_FAILED` naming `field` otherwise.
 */
export const parseFile = (text: string, field: string): Bytes => {
  const path = text.startsWith('/')
    ? Buffer.from(text, 'utf8')
        .toString('latin1')
        .replace(/\/+/g, '/')
        .replace(/(?<=.)\/$/, '')
    : parseFileId(text)
  if (path !== null && isPath(path)) return path
  throw fail('VALIDATION_FAILED', { field, problem: 'is neither a file id nor an absolute path' })
}

/** The path for people: what is not UTF-8 shows as U+FFFD, and only the id says what it is. */
export const showPath = (path: Bytes): string => Buffer.from(path, 'latin1').toString('utf8')
