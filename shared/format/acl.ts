/**
 * POSIX.1e access lists: the bytes that Linux keeps in `system.posix_acl_access` and `system.posix_acl_default` ⇄ the
 * short text of a line. FORMAT.md, "Access lists". Pure.
 */

/** uint32 version, then entries of uint16 tag, uint16 permissions, uint32 id; little-endian. */
const VERSION = 2
const HEAD = 4
const ENTRY = 8
/** Of entries that are for nobody by number. */
const NO_ID = 0xffffffff

const TAGS = [
  { tag: 0x01, letter: 'u', named: false },
  { tag: 0x02, letter: 'u', named: true },
  { tag: 0x04, letter: 'g', named: false },
  { tag: 0x08, letter: 'g', named: true },
  { tag: 0x10, letter: 'm', named: false },
  { tag: 0x20, letter: 'o', named: false },
] as const

const permissions = (bits: number): string =>
  `${(bits & 4) === 0 ? '-' : 'r'}${(bits & 2) === 0 ? '-' : 'w'}${(bits & 1) === 0 ? '-' : 'x'}`

/** `u::rw-,u:1000:r--,g::r--,m::r--,o::r--`, entries in their order; null for bytes that are no such list. */
export const aclText = (bytes: Uint8Array): string | null => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length <= HEAD || (bytes.length - HEAD) % ENTRY !== 0) return null
  if (view.getUint32(0, true) !== VERSION) return null
  const parts: string[] = []
  for (let at = HEAD; at < bytes.length; at += ENTRY) {
    const tag = view.getUint16(at, true)
    const bits = view.getUint16(at + 2, true)
    const id = view.getUint32(at + 4, true)
    const kind = TAGS.find((one) => one.tag === tag)
    if (kind === undefined || bits > 7 || kind.named === (id === NO_ID)) return null
    parts.push(`${kind.letter}:${kind.named ? String(id) : ''}:${permissions(bits)}`)
  }
  return parts.join(',')
}

const PART = /^([ugmo]):(0|[1-9][0-9]{0,9})?:([r-])([w-])([x-])$/

/** The bytes of a text as `aclText` writes it; null for any other. */
export const aclBytes = (text: string): Uint8Array | null => {
  const parts = text.split(',')
  const bytes = new Uint8Array(HEAD + parts.length * ENTRY)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, VERSION, true)
  for (const [index, part] of parts.entries()) {
    const [, letter, id, r, w, x] = PART.exec(part) ?? []
    const kind = TAGS.find((one) => one.letter === letter && one.named === (id !== undefined))
    const number = id === undefined ? NO_ID : Number(id)
    if (kind === undefined || (kind.named && number >= NO_ID)) return null
    const at = HEAD + index * ENTRY
    view.setUint16(at, kind.tag, true)
    view.setUint16(at + 2, (r === 'r' ? 4 : 0) | (w === 'w' ? 2 : 0) | (x === 'x' ? 1 : 0), true)
    view.setUint32(at + 4, number, true)
  }
  return bytes
}
