/**
 * Entries of a tree as a POSIX tar archive (IEEE Std 1003.1, pax interchange format), as GNU tar and libarchive read it.
 * What the old header cannot say stands in extended records: long or non-ASCII names, times with fractions, large files,
 * attributes (SCHILY.xattr), access lists (SCHILY.acl), and holes (GNU.sparse 1.0). Pure: blocks of bytes, no content.
 */
import { isUtf8 } from 'node:buffer'
import type { Entry } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'

const BLOCK = 512
/** The largest numbers that the octal fields hold. */
const MOST_ID = 0o7777777
const MOST_SIZE = 0o77777777777
const MOST_DEVICE = 0o7777777

const TYPES = {
  file: '0',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
} as const

export type TarEntry = {
  /** Below the archive's root: relative, without slash at the end. */
  readonly path: Bytes
  readonly entry: Entry
  /** Another name of the same file that is in the archive already. */
  readonly linkTo?: Bytes
}

/** What stands before the content, and how many zeros follow it up to the next block. */
export type TarHead = { readonly head: Uint8Array; readonly padding: number }

/** Sockets have no place in an archive, and neither has a file whose content was not backed up. */
export const isInTar = ({ type, skipped }: Entry): boolean =>
  type !== 'socket' && (skipped === undefined || type !== 'file')

/** Zeros that fill the last block. */
export const tarPadding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK

/** The end of an archive. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK)

type Record = readonly [key: string, value: Bytes]

const ASCII = /^[\x20-\x7e]*$/

const utf8 = (text: string): Bytes => Buffer.from(text, 'utf8').toString('latin1')

/** `<length> <key>=<value>\n`, where the length counts itself. */
const recordText = ([key, value]: Record): Bytes => {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (String(length).length + rest.length !== length)
    length = String(length).length + rest.length
  return `${length}${rest}`
}

/** Whether the old header holds it: ASCII, or what is no text in any case. Other text is UTF-8 in extended records only. */
const fits = (text: Bytes, most: number): boolean =>
  text.length <= most && (ASCII.test(text) || !isUtf8(Buffer.from(text, 'latin1')))

const SECOND_NS = 1_000_000_000n

/** Whole seconds, rounded down, and the rest. */
const secondsOf = (mtime: bigint): { readonly seconds: bigint; readonly rest: bigint } => {
  const rest = ((mtime % SECOND_NS) + SECOND_NS) % SECOND_NS
  return { seconds: (mtime - rest) / SECOND_NS, rest }
}

const timeText = (mtime: bigint): string => {
  const sign = mtime < 0n ? '-' : ''
  const size = mtime < 0n ? -mtime : mtime
  const fraction = String(size % SECOND_NS)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return `${sign}${String(size / SECOND_NS)}${fraction === '' ? '' : `.${fraction}`}`
}

const isPlainTime = (mtime: bigint): boolean => {
  const { seconds, rest } = secondsOf(mtime)
  return rest === 0n && seconds >= 0n && seconds <= BigInt(MOST_SIZE)
}

/** As GNU tar writes the name of an attribute: an equals sign would end it. */
const attributeKey = (name: Bytes): Bytes =>
  `SCHILY.xattr.${name.replace(/%/g, '%25').replace(/=/g, '%3D')}`

type Names = {
  readonly path: Bytes
  readonly link: Bytes
  readonly user: Bytes
  readonly group: Bytes
}

const nameRecords = ({ path, link, user, group }: Names): readonly Record[] => [
  ...(fits(path, 100) ? [] : [['path', path] as const]),
  ...(fits(link, 100) ? [] : [['linkpath', link] as const]),
  ...(fits(user, 31) ? [] : [['uname', user] as const]),
  ...(fits(group, 31) ? [] : [['gname', group] as const]),
]

const factRecords = (entry: Entry, size: number): readonly Record[] => [
  ...(entry.uid > MOST_ID ? [['uid', String(entry.uid)] as const] : []),
  ...(entry.gid > MOST_ID ? [['gid', String(entry.gid)] as const] : []),
  ...(size > MOST_SIZE ? [['size', String(size)] as const] : []),
  ...(isPlainTime(entry.mtime) ? [] : [['mtime', timeText(entry.mtime)] as const]),
  ...(entry.xattrs ?? []).map(([name, value]): Record => [attributeKey(name), value]),
  ...(entry.acl?.access === undefined
    ? []
    : [['SCHILY.acl.access', utf8(entry.acl.access)] as const]),
  ...(entry.acl?.default === undefined
    ? []
    : [['SCHILY.acl.default', utf8(entry.acl.default)] as const]),
]

/** Names that are not UTF-8 say so once, before all others. */
const withCharset = (records: readonly Record[]): readonly Record[] => {
  const isText = records.every(
    ([key, value]) => key.startsWith('SCHILY.xattr.') || isUtf8(Buffer.from(value, 'latin1')),
  )
  return isText ? records : [['hdrcharset', 'BINARY'], ...records]
}

const octal = (value: number, length: number): string =>
  `${Math.max(0, value)
    .toString(8)
    .padStart(length - 1, '0')}\0`

type Old = {
  readonly name: Bytes
  readonly type: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly seconds: number
  readonly link: Bytes
  readonly user: Bytes
  readonly group: Bytes
  readonly device: readonly [number, number]
}

/** One header block. Texts are cut to their fields: what does not fit is in an extended record. */
const oldHeader = (old: Old): Buffer => {
  const block = Buffer.alloc(BLOCK)
  const put = (text: string, at: number, length: number): void => {
    block.write(text.slice(0, length), at, length, 'latin1')
  }
  put(old.name, 0, 100)
  put(octal(old.mode, 8), 100, 8)
  put(octal(Math.min(old.uid, MOST_ID), 8), 108, 8)
  put(octal(Math.min(old.gid, MOST_ID), 8), 116, 8)
  put(octal(Math.min(old.size, MOST_SIZE), 12), 124, 12)
  put(octal(Math.min(old.seconds, MOST_SIZE), 12), 136, 12)
  put('        ', 148, 8)
  put(old.type, 156, 1)
  put(old.link, 157, 100)
  put('ustar\0' + '00', 257, 8)
  put(old.user, 265, 31)
  put(old.group, 297, 31)
  put(octal(Math.min(old.device[0], MOST_DEVICE), 8), 329, 8)
  put(octal(Math.min(old.device[1], MOST_DEVICE), 8), 337, 8)
  let sum = 0
  for (const byte of block) sum += byte
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8)
  return block
}

const NOBODY = { mode: 0o644, uid: 0, gid: 0, seconds: 0, link: '', user: '', group: '' } as const

const padded = (text: Bytes): Buffer => {
  const bytes = Buffer.from(text, 'latin1')
  return Buffer.concat([bytes, Buffer.alloc(tarPadding(bytes.length))])
}

const extended = (records: readonly Record[]): readonly Buffer[] => {
  if (records.length === 0) return []
  const text = withCharset(records).map(recordText).join('')
  const name = 'PaxHeaders/extended'
  return [
    oldHeader({ ...NOBODY, name, type: 'x', size: text.length, device: [0, 0] }),
    padded(text),
  ]
}

/** Runs of data between holes, as GNU.sparse 1.0 lists them; one without length marks a hole at the end. */
const sparseMap = (size: number, holes: NonNullable<Entry['holes']>): Buffer => {
  const runs: (readonly [number, number])[] = []
  let at = 0
  for (const [offset, length] of holes) {
    if (offset > at) runs.push([at, offset - at])
    at = offset + length
  }
  runs.push([at, size - at])
  const lines = runs.flatMap(([offset, length]) => [offset, length])
  return padded(`${[runs.length, ...lines].join('\n')}\n`)
}

type Body = { readonly size: number; readonly map: Buffer; readonly records: readonly Record[] }

const bodyOf = (path: Bytes, entry: Entry, isLink: boolean): Body => {
  const none = { size: 0, map: Buffer.alloc(0), records: [] }
  if (isLink || entry.type !== 'file') return none
  const { size = 0, holes = [] } = entry
  if (holes.length === 0) return { ...none, size }
  const map = sparseMap(size, holes)
  const data = size - holes.reduce((sum, [, length]) => sum + length, 0)
  const records: Record[] = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', path],
    ['GNU.sparse.realsize', String(size)],
  ]
  return { size: map.length + data, map, records }
}

/** Where readers that know no holes put what they cannot read. */
const sparseName = (path: Bytes): Bytes => {
  const cut = path.lastIndexOf('/') + 1
  return `${path.slice(0, cut)}GNUSparseFile.0/${path.slice(cut)}`
}

const typeOf = (entry: Entry, isLink: boolean): string =>
  isLink ? '1' : entry.type === 'socket' ? '0' : TYPES[entry.type]

/** Everything that stands before an entry's content, which is its bytes without holes. */
export const tarHead = ({ path, entry, linkTo }: TarEntry): TarHead => {
  const isLink = linkTo !== undefined
  const { size, map, records } = bodyOf(path, entry, isLink)
  const names: Names = {
    path: entry.type === 'directory' ? `${path}/` : map.length > 0 ? sparseName(path) : path,
    link: linkTo ?? entry.target ?? '',
    user: utf8(entry.user ?? ''),
    group: utf8(entry.group ?? ''),
  }
  const { seconds } = secondsOf(entry.mtime)
  const head = Buffer.concat([
    ...extended([...nameRecords(names), ...records, ...factRecords(entry, size)]),
    oldHeader({
      ...entry,
      ...names,
      name: names.path,
      type: typeOf(entry, isLink),
      size,
      seconds: Number(seconds),
      device: entry.device ?? [0, 0],
    }),
    map,
  ])
  return { head, padding: tarPadding(size) }
}
