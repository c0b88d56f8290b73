/** Places in a tree and their order. FORMAT.md, "Order". */

/** A byte string: each character is one raw byte (latin1). `<` on two of them compares raw bytes. */
export type Bytes = string

/** An entry's place: its directory (absolute, `/` or `/usr/share`) and its name there. */
export type Place = { readonly dir: Bytes; readonly name: Bytes }

/**
 * What of a tree is wanted: everything, one folder's entries, a folder's entries at any depth, or one entry. With `after`,
 * only what comes behind that place.
 */
export type Range =
  | { readonly at: 'all'; readonly after?: Place }
  | { readonly at: 'listing'; readonly dir: Bytes; readonly after?: Place }
  | { readonly at: 'subtree'; readonly dir: Bytes; readonly after?: Place }
  | { readonly at: 'entry'; readonly dir: Bytes; readonly name: Bytes }

const SLASH = 0x2f

/** Pre-order of directories, component by component as raw bytes, so that each comes before those below it. */
export const compareDirs = (a: Bytes, b: Bytes): number => {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    // A slash ends a component, and a shorter component comes first.
    if (x === SLASH) return -1
    if (y === SLASH) return 1
    return x - y
  }
  return a.length - b.length
}

/** Negative, zero or positive: by directory in pre-order, then by the raw bytes of the name. */
export const compareOrder = (aDir: Bytes, aName: Bytes, bDir: Bytes, bName: Bytes): number => {
  if (aDir !== bDir) return compareDirs(aDir, bDir)
  if (aName === bName) return 0
  return aName < bName ? -1 : 1
}

export const comparePlaces = (a: Place, b: Place): number =>
  compareOrder(a.dir, a.name, b.dir, b.name)

export const isBelow = (dir: Bytes, top: Bytes): boolean =>
  top === '/' || dir === top || (dir.startsWith(top) && dir.charCodeAt(top.length) === SLASH)

/** -1, 0, 1: whether the place lies before, in or after the range. */
export const sideOf = (range: Range, place: Place): -1 | 0 | 1 => {
  if ('after' in range && comparePlaces(place, range.after) <= 0) return -1
  switch (range.at) {
    case 'all':
      return 0
    case 'listing':
      return sign(compareDirs(place.dir, range.dir))
    case 'subtree':
      return isBelow(place.dir, range.dir) ? 0 : sign(compareDirs(place.dir, range.dir))
    case 'entry':
      return sign(compareOrder(place.dir, place.name, range.dir, range.name))
  }
}

const sign = (order: number): -1 | 0 | 1 => (order === 0 ? 0 : order < 0 ? -1 : 1)

/** The path of an entry. */
export const pathOf = (dir: Bytes, name: Bytes): Bytes =>
  dir === '/' ? `/${name}` : `${dir}/${name}`

/** Most bytes of a name, and of a directory: with every byte escaped, lines that carry both stay below 64 KiB. */
export const MAX_NAME = 1024
export const MAX_DIR = 8192

/** A name that can stand in a directory: not empty, not `.` or `..`, without slash and NUL, bytes only. */
export const isName = (name: Bytes): boolean =>
  name.length <= MAX_NAME && NAME.test(name) && name !== '.' && name !== '..'

/** `/`, or names with a slash before each. */
export const isDir = (dir: Bytes): boolean =>
  dir === '/' || (dir.length <= MAX_DIR && DIR.test(dir) && !DOTS.test(dir))

const NAME = /^[\x01-.0-\xff]+$/
const DIR = /^(?:\/[\x01-.0-\xff]+)+$/
const DOTS = /\/\.\.?(?:\/|$)/
