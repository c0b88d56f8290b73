/** What prepared objects are called: as keys of an answer, and as file names that a browser takes from a header. Pure. */
import { showPath } from '#shared/api/file-ids.ts'
import type { Bytes } from '#shared/format/tree-order.ts'

/** Bytes of a file name that every file system takes. */
const MOST_BYTES = 255
const ELLIPSIS = '…'

/** What no file name may hold, or what would do something to a terminal: controls, separators, marks of direction. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}/\\]/gu

const cut = (text: string, most: number): string => {
  if (Buffer.byteLength(text) <= most) return text
  let kept = ''
  let room = most - Buffer.byteLength(ELLIPSIS)
  for (const sign of text) {
    room -= Buffer.byteLength(sign)
    if (room < 0) break
    kept += sign
  }
  return kept + ELLIPSIS
}

/** `base` and `suffix` as one name; a base of dots alone is none. */
export const fileName = (base: string, suffix: string): string => {
  const clean = base.toWellFormed().replace(UNSAFE, '_').trim()
  const named = /^\.*$/.test(clean) ? `_${clean}` : clean
  return `${cut(named, MOST_BYTES - Buffer.byteLength(suffix))}${suffix}`
}

/** The last part of a path, as text. */
export const baseName = (path: Bytes): string => showPath(path.slice(path.lastIndexOf('/') + 1))

/** The same names, where one that comes again has a number: no two are equal. */
export const distinct = (
  names: readonly { readonly base: string; readonly suffix: string }[],
): readonly string[] => {
  const taken = new Set<string>()
  const copies = new Map<string, number>()
  return names.map(({ base, suffix }) => {
    const plain = fileName(base, suffix)
    let name = plain
    for (let copy = copies.get(plain) ?? 2; taken.has(name); copy += 1) {
      name = fileName(base, ` (${copy})${suffix}`)
      copies.set(plain, copy + 1)
    }
    taken.add(name)
    return name
  })
}

/** RFC 8187: everything but attr-char is escaped. */
const extended = (text: string): string =>
  encodeURIComponent(text).replace(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  )

/** RFC 6266: a plain name for old readers, and the whole one. `name` is one that `fileName` made. */
export const attachment = (name: string): string => {
  const plain = name.replace(/[^\x20-\x7e]|["\\%;]/gu, '_')
  return `attachment; filename="${plain}"; filename*=UTF-8''${extended(name)}`
}
