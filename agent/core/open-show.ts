/** How byte strings and problems are shown to people and to programs. */
import { isUtf8 } from 'node:buffer'
import { CATALOGUE, describe } from '#shared/errors.ts'
import type { Entry } from '#shared/format/tree.ts'
import type { Bytes, Place } from '#shared/format/tree-order.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import { shown } from '#shared/shown.ts'
import type { Problem } from './restore-job.ts'

/** A path for a terminal: UTF-8, with whatever could change the screen, and invalid bytes, written as `\xNN` or `\u{…}`. */
export const showBytes = (bytes: Bytes): string => {
  const raw = Buffer.from(bytes, 'latin1')
  const text = isUtf8(raw)
    ? raw.toString('utf8')
    : bytes.replace(/[\x80-\xff]/g, (char) => `\\x${hex(char)}`)
  return shown(text)
}

const hex = (char: string): string => char.charCodeAt(0).toString(16).padStart(2, '0')

/** `{"path": …}`, or `{"pathb": base64}` for bytes that are not valid UTF-8. */
export const jsonBytes = (name: string, bytes: Bytes): Readonly<Record<string, string>> => {
  const raw = Buffer.from(bytes, 'latin1')
  return isUtf8(raw) ? { [name]: raw.toString('utf8') } : { [`${name}b`]: raw.toString('base64') }
}

/** What is wrong, without the hint for the person. */
export const showProblem = ({ code, details }: Problem): string => {
  const { hint } = CATALOGUE[code]
  return describe(code, details).slice(0, -hint.length - 1)
}

export const placePath = ({ dir, name }: Place): Bytes => (name === '' ? dir : pathOf(dir, name))

/** ISO 8601 in UTC; for a time that no calendar has, its number. Records and trees are hostile until shown otherwise. */
export const showTime = (ms: number): string =>
  Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`

const TYPES = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  char: 'c',
  block: 'b',
  socket: 's',
} as const
const TRIPLES = ['---', '--x', '-w-', '-wx', 'r--', 'r-x', 'rw-', 'rwx']

/** Type and mode as `ls -l` shows them, `drwxrwxrwt`. */
export const showMode = ({ type, mode }: Pick<Entry, 'type' | 'mode'>): string => {
  const triple = (shift: number, special: boolean, letter: string): string => {
    const text = TRIPLES[(mode >> shift) & 7] ?? '---'
    if (!special) return text
    return text.slice(0, 2) + (text.endsWith('x') ? letter : letter.toUpperCase())
  }
  const user = triple(6, (mode & 0o4000) !== 0, 's')
  const group = triple(3, (mode & 0o2000) !== 0, 's')
  return TYPES[type] + user + group + triple(0, (mode & 0o1000) !== 0, 't')
}
