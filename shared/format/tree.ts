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
/** Largest owner, group or device number. */
export const MAX_ID = 2 ** 32 - 1
/** Most characters of a text that is not a list. */
export const MAX_TEXT = 4096

export type EntryType = 'file' | 'directory' | 'symlink' | 'fifo' | 'char' | 'block' | 'socket'

/** POSIX.1e access control lists in short text form with numeric ids, as `getfacl -n` and `setfacl` write them. */
export type Acl = { readonly access?: string; readonly default?: string }

export type Attribute = readonly [name: Bytes, value: Bytes]

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
  /** Extended attributes, each name once; a line has them by the raw bytes of the name. */
  readonly xattrs?: readonly Attribute[]
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
  checkEntry(entry)
  const line = `{${bytesField('n', 'nb', name)},"k":"${LETTER[entry.type]}",${owner(entry)}${facts(entry)}${content(entry)}}`
  // A character takes at most three bytes of UTF-8.
  if (line.length * 3 > MAX_LINE && Buffer.byteLength(line) > MAX_LINE) {
    throw fail('LIMIT_EXCEEDED', { limit: MAX_LINE, what: 'bytes in a line of the tree' })
  }
  return line
}

/** What `decodeEntry` would refuse, so that no backup carries it. */
const checkEntry = (e: Entry): void => {
  if (!isSize(e.mode) || e.mode > 0o7777 || !isOwner(e.uid) || !isOwner(e.gid)) {
    throw new RangeError('the mode, owner or group of an entry')
  }
  const { type } = e
  if (type === 'file') checkFile(e)
  else if ((e.size ?? e.holes ?? e.content ?? e.more) !== undefined) {
    throw new RangeError('only files have a size and content')
  }
  if ((e.target !== undefined && e.target !== '') !== (type === 'symlink')) {
    throw new RangeError('links, and only links, have a target')
  }
  if ((e.device !== undefined) !== (type === 'char' || type === 'block')) {
    throw new RangeError('devices, and only devices, have numbers')
  }
}

const checkFile = ({ size, holes = [], content = [], more, skipped }: Entry): void => {
  if (!isSize(size) || holes.length > MAX_HOLES) throw new RangeError('the size of a file')
  if (more !== undefined && more.length > 0) {
    if (content.length > 0) throw new RangeError('a file has content or content lists')
    return
  }
  let covered = 0
  for (const hole of holes) covered += hole[1]
  for (const locator of content) covered += locator[4]
  if (covered !== size && skipped === undefined) {
    throw new RangeError('content and holes are not as long as the file')
  }
}

const isOwner = (id: number): boolean => isSize(id) && id <= MAX_ID

const owner = (e: Entry): string => {
  const size = e.size === undefined ? '' : `,"s":${e.size}`
  return `"m":${e.mode},"u":${e.uid},"g":${e.gid}${text('un', e.user)}${text('gn', e.group)}${size},"mt":"${String(e.mtime)}"`
}

const text = (key: string, value: string | undefined, most = MAX_TEXT): string => {
  if (value === undefined || value === '') return ''
  if (value.length > most) throw new RangeError(`the text ${key} of an entry`)
  return `,"${key}":${jsonText(value)}`
}

const facts = (e: Entry): string => {
  let line = ''
  if (e.target !== undefined) line += `,${bytesField('t', 'tb', e.target)}`
  if (e.device !== undefined) line += `,"d":[${e.device[0]},${e.device[1]}]`
  if (e.xattrs !== undefined && e.xattrs.length > 0) line += `,"x":[${attributes(e.xattrs)}]`
  if (e.acl !== undefined) {
    line += text('a', e.acl.access, MAX_LINE) + text('da', e.acl.default, MAX_LINE)
  }
  return line + text('h', e.hardlink)
}

const attributes = (list: readonly Attribute[]): string =>
  list
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `{${bytesField('n', 'nb', name)},${bytesField('v', 'vb', value)}}`)
    .join(',')

const content = (e: Entry): string => {
  let line = ''
  if (e.holes !== undefined && e.holes.length > 0) {
    line += `,"ho":[${e.holes.map(([offset, length]) => `[${offset},${length}]`).join(',')}]`
  }
  if (e.content !== undefined && e.content.length > 0) line += `,"c":${locators(e.content)}`
  if (e.more !== undefined && e.more.length > 0) line += `,"more":${locators(e.more)}`
  return line + text('skip', e.skipped)
}

const locators = (list: readonly Locator[]): string => {
  if (list.length > MAX_INLINE) throw new RangeError('over 64 locators in an entry')
  return `[${list.map(locatorText).join(',')}]`
}
