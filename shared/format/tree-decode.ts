/** One line of a tree → an entry, refusing whatever a writer must not write. FORMAT.md, "Entries". */
import { fail, problemOf } from '../errors.ts'
import { parseBytes } from './byte-text.ts'
import { isSize, type Locator, parseLocator } from './locator.ts'
import {
  type Acl,
  type Attribute,
  type Entry,
  type EntryType,
  MAX_HOLES,
  MAX_ID,
  MAX_INLINE,
  MAX_LINE,
  MAX_TEXT,
} from './tree.ts'
import { type Bytes, isName } from './tree-order.ts'

export type NamedEntry = { readonly name: Bytes; readonly entry: Entry }

/** The fields of a line; unknown ones are ignored. */
export type RawLine = { readonly [field in Field]?: unknown }
type Field =
  | ('n' | 'nb' | 'k' | 'm' | 'u' | 'g' | 'un' | 'gn' | 's' | 'mt' | 't' | 'tb' | 'd')
  | ('x' | 'a' | 'da' | 'h' | 'ho' | 'c' | 'more' | 'skip' | 'dir' | 'dirb')

const TYPES: ReadonlyMap<unknown, EntryType> = new Map([
  ['f', 'file'],
  ['d', 'directory'],
  ['l', 'symlink'],
  ['p', 'fifo'],
  ['c', 'char'],
  ['b', 'block'],
  ['s', 'socket'],
])
const NANOSECONDS = /^(?:0|-?[1-9][0-9]{0,29})$/

/** `DAMAGED` for anything but the line of an entry that can be; hostile input costs no more than its length. */
export const decodeEntry = (line: string): NamedEntry => entryOf(parseLine(line))

/** The fields of a line of at most 64 KiB, not yet checked. */
export const parseLine = (line: string): RawLine => {
  // A character takes at most three bytes of UTF-8.
  if (line.length * 3 > MAX_LINE && Buffer.byteLength(line) > MAX_LINE)
    throw damaged('it is too long')
  try {
    const value: unknown = JSON.parse(line)
    if (isObject(value)) return value
  } catch (error) {
    throw fail('DAMAGED', { what: WHAT, problem: problemOf(error) }, { cause: error })
  }
  throw damaged('it is not an object')
}

const isObject = (value: unknown): value is RawLine =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

type Writable<T> = { -readonly [K in keyof T]: T[K] }

export const entryOf = (raw: RawLine): NamedEntry => {
  const name = parseBytes(raw.n, raw.nb)
  if (name === undefined || !isName(name)) throw damaged('its name cannot be one')
  const entry = basics(raw)
  texts(entry, raw)
  byType(entry, raw)
  rare(entry, raw)
  return { name, entry }
}

const basics = (raw: RawLine): Writable<Entry> => {
  const { m: mode, u: uid, g: gid } = raw
  const type = TYPES.get(raw.k)
  if (type === undefined) throw damaged('its type is unknown')
  if (!isSize(mode) || mode > 0o7777) throw damaged('its mode cannot be')
  if (!isId(uid) || !isId(gid)) throw damaged('its owner cannot be')
  return { type, mode, uid, gid, mtime: time(raw.mt) }
}

const texts = (entry: Writable<Entry>, raw: RawLine): void => {
  if (raw.un !== undefined) entry.user = text(raw.un)
  if (raw.gn !== undefined) entry.group = text(raw.gn)
  if (raw.skip !== undefined) entry.skipped = text(raw.skip)
  if (raw.h !== undefined) entry.hardlink = text(raw.h)
}

/** What only some types have, and those always. */
const byType = (entry: Writable<Entry>, raw: RawLine): void => {
  const { type } = entry
  if (type === 'file') contentOf(entry, raw)
  else if (hasContent(raw)) throw damaged('only files have a size and content')
  const target = parseBytes(raw.t, raw.tb)
  if ((target !== undefined) !== (type === 'symlink')) throw damaged('only links have a target')
  if (target !== undefined) entry.target = checkedTarget(target)
  const isDevice = type === 'char' || type === 'block'
  if ((raw.d !== undefined) !== isDevice) throw damaged('only devices have numbers')
  if (isDevice) entry.device = pair(raw.d, isId)
}

const hasContent = (raw: RawLine): boolean =>
  raw.s !== undefined || raw.c !== undefined || raw.more !== undefined || raw.ho !== undefined

const checkedTarget = (target: Bytes): Bytes => {
  if (target === '' || target.includes('\0')) throw damaged('its target cannot be one')
  return target
}

const contentOf = (entry: Writable<Entry>, raw: RawLine): void => {
  const size = raw.s
  if (!isSize(size)) throw damaged('its size cannot be')
  entry.size = size
  let covered = 0
  if (raw.ho !== undefined) {
    entry.holes = holesOf(raw.ho, size)
    for (const [, length] of entry.holes) covered += length
  }
  if (raw.more !== undefined) {
    if (raw.c !== undefined) throw damaged('it has content and content lists')
    entry.more = locatorsOf(raw.more)
    return
  }
  if (raw.c !== undefined) {
    entry.content = locatorsOf(raw.c)
    for (const locator of entry.content) covered += locator[4]
  }
  if (covered !== size && entry.skipped === undefined) {
    throw damaged('content and holes are not as long as the file')
  }
}

const locatorsOf = (value: unknown): readonly Locator[] => list(value, MAX_INLINE).map(parseLocator)

const holesOf = (value: unknown, size: number): readonly (readonly [number, number])[] => {
  let end = -1
  return list(value, MAX_HOLES).map((item) => {
    const hole = pair(item, isSize)
    if (hole[0] <= end || hole[1] === 0 || hole[0] + hole[1] > size) {
      throw damaged('its holes overlap or leave the file')
    }
    end = hole[0] + hole[1]
    return hole
  })
}

const rare = (entry: Writable<Entry>, raw: RawLine): void => {
  if (raw.x !== undefined) entry.xattrs = attributes(raw.x)
  if (raw.a === undefined && raw.da === undefined) return
  const acl: Writable<Acl> = {}
  if (raw.a !== undefined) acl.access = text(raw.a, MAX_LINE)
  if (raw.da !== undefined) acl.default = text(raw.da, MAX_LINE)
  entry.acl = acl
}

const attributes = (value: unknown): readonly Attribute[] => {
  let last = ''
  return list(value, MAX_LINE).map((item) => {
    const raw: { n?: unknown; nb?: unknown; v?: unknown; vb?: unknown } = isObject(item) ? item : {}
    const name = parseBytes(raw.n, raw.nb)
    const attribute = parseBytes(raw.v, raw.vb)
    if (name === undefined || attribute === undefined || name <= last || name.includes('\0')) {
      throw damaged('its attributes are not in order')
    }
    last = name
    return [name, attribute]
  })
}

const list = (value: unknown, most: number): readonly unknown[] => {
  if (!Array.isArray(value) || value.length === 0 || value.length > most) {
    throw damaged('it has a list of impossible length')
  }
  return value
}

const pair = (
  value: unknown,
  check: (part: unknown) => part is number,
): readonly [number, number] => {
  const parts: readonly unknown[] = Array.isArray(value) ? value : []
  const [a, b] = parts
  if (parts.length !== 2 || !check(a) || !check(b)) throw damaged('it has a pair that is none')
  return [a, b]
}

const time = (value: unknown): bigint => {
  if (typeof value !== 'string' || !NANOSECONDS.test(value)) throw damaged('its time is no number')
  return BigInt(value)
}

const isId = (value: unknown): value is number => isSize(value) && value <= MAX_ID

const text = (value: unknown, most = MAX_TEXT): string => {
  if (typeof value !== 'string' || value === '' || value.length > most || !value.isWellFormed()) {
    throw damaged('it has a text that is none')
  }
  return value
}

const WHAT = 'A line of the tree'
const damaged = (problem: string): Error => fail('DAMAGED', { what: WHAT, problem })
