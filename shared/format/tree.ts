/** One entry of a tree ⇄ one line of JSON: the writing half, and what an entry is. FORMAT.md, "Entries". */
import { fail } from '../errors.ts'
import { KiB } from '../units.ts'
import { bytesField, jsonText } from './byte-text.ts'
import { isSize, type Locator, locatorText } from './locator.ts'
import { type Bytes, isName } from './tree-order.ts'

export type { Bytes, Place, Range } from './tree-order.ts'

/** Most bytes of one line, its newline not counted. */
export const MAX_LINE = 64 * KiB
/** A file of more blobs than this has content lists. */
export const MAX_INLINE = 64
/** A file with more holes than this is written with some of them filled with zeros. */
export const MAX_HOLES = 1024

export type EntryType = 'file' | 'directory' | 'symlink' | 'fifo' | 'char' | 'block' | 'socket'

/** POSIX.1e access control lists in short text form with numeric ids, as `getfacl -n` and `setfacl` write them. */
export type Acl = { readonly access?: string; readonly default?: string }

export type Entry = {
  readonly type: EntryType
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Names of owner and group where the server knows them. */
  readonly user?: string
  readonly group?: string
  /** Bytes; of files, always. Holes and content together have exactly this length. */
  readonly size?: number
  /** Nanoseconds since the Unix epoch. */
  readonly mtime: bigint
  /** Of symbolic links, always: the raw bytes. */
  readonly target?: Bytes
  /** Major and minor; of devices, always. */
  readonly device?: readonly [major: number, minor: number]
  /** Extended attributes, strictly ascending by name; names and values are raw bytes. */
  readonly xattrs?: readonly (readonly [name: Bytes, value: Bytes])[]
  readonly acl?: Acl
  /** The same text on every name of one file with several; each of them carries the content. */
  readonly hardlink?: string
  /** Of sparse files: offset and length, ascending; the content covers the rest, in order. */
  readonly holes?: readonly (readonly [offset: number, length: number])[]
  /** At most 64, in order. */
  readonly content?: readonly Locator[]
  /** In place of `content`: at most 64 content lists, in order. */
  readonly more?: readonly Locator[]
  /** Why the content is not here: `socket`, `unreadable`, `excluded`. */
  readonly skipped?: string
}

const LETTER = {
  file: 'f',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  char: 'c',
  block: 'b',
  socket: 's',
} as const satisfies Record<EntryType, string>

/**
 * The line of an entry, without newline. Throws `LIMIT_EXCEEDED` where it would exceed 64 KiB (leave out extended
 * attributes or holes then), `RangeError` for an entry that cannot be.
 */
export const encodeEntry = (name: Bytes, entry: Entry): string => {
  if (!isName(name)) throw new RangeError('not a name')
  const line = `{${bytesField('n', 'nb', name)},"k":"${LETTER[entry.type]}",${owner(entry)}${facts(entry)}${content(entry)}}`
  // A character takes at most three bytes of UTF-8.
  if (line.length * 3 > MAX_LINE && Buffer.byteLength(line) > MAX_LINE) {
    throw fail('LIMIT_EXCEEDED', { limit: MAX_LINE, what: 'bytes in a line of the tree' })
  }
  return line
}

const owner = (e: Entry): string => {
  if (!isSize(e.mode) || !isSize(e.uid) || !isSize(e.gid)) throw new RangeError('mode, uid or gid')
  const user = e.user === undefined ? '' : `,"un":${jsonText(e.user)}`
  const group = e.group === undefined ? '' : `,"gn":${jsonText(e.group)}`
  const size = e.size === undefined ? '' : `,"s":${e.size}`
  return `"m":${e.mode},"u":${e.uid},"g":${e.gid}${user}${group}${size},"mt":"${String(e.mtime)}"`
}

const facts = (e: Entry): string => {
  let text = ''
  if (e.target !== undefined) text += `,${bytesField('t', 'tb', e.target)}`
  if (e.device !== undefined) text += `,"d":[${e.device[0]},${e.device[1]}]`
  if (e.xattrs !== undefined && e.xattrs.length > 0)
    text += `,"x":[${e.xattrs.map(attribute).join(',')}]`
  if (e.acl?.access !== undefined) text += `,"a":${jsonText(e.acl.access)}`
  if (e.acl?.default !== undefined) text += `,"da":${jsonText(e.acl.default)}`
  if (e.hardlink !== undefined) text += `,"h":${jsonText(e.hardlink)}`
  return text
}

const attribute = ([name, value]: readonly [Bytes, Bytes]): string =>
  `{${bytesField('n', 'nb', name)},${bytesField('v', 'vb', value)}}`

const content = (e: Entry): string => {
  let text = ''
  if (e.holes !== undefined && e.holes.length > 0) {
    text += `,"ho":[${e.holes.map(([offset, length]) => `[${offset},${length}]`).join(',')}]`
  }
  if (e.content !== undefined && e.content.length > 0) text += `,"c":${locators(e.content)}`
  if (e.more !== undefined && e.more.length > 0) text += `,"more":${locators(e.more)}`
  if (e.skipped !== undefined) text += `,"skip":${jsonText(e.skipped)}`
  return text
}

const locators = (list: readonly Locator[]): string => {
  if (list.length > MAX_INLINE) throw new RangeError('over 64 locators in an entry')
  return `[${list.map(locatorText).join(',')}]`
}
