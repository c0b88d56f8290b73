/** Bytes and their canonical texts. Every parser here answers `null` for what it would not itself have written. */

/** base64url (RFC 4648, section 5) without padding. */
export const toBase64url = (bytes: Uint8Array): string => view(bytes).toString('base64url')

/** Standard base64 without padding, as age headers use it. */
export const toBase64 = (bytes: Uint8Array): string =>
  view(bytes).toString('base64').replace(/=+$/, '')

export const toHex = (bytes: Uint8Array): string => view(bytes).toString('hex')

/** The bytes of canonical base64url, of exactly `length` bytes where given; `null` for anything else. */
export const parseBase64url = (text: string, length?: number): Uint8Array | null => {
  const bytes = Buffer.from(text, 'base64url')
  const canonical = bytes.toString('base64url') === text
  return canonical && (length === undefined || bytes.length === length) ? bytes : null
}

/** The bytes of canonical base64 without padding; `null` for padding, spaces, loose bits or another alphabet. */
export const parseBase64 = (text: string): Uint8Array | null => {
  const bytes = Buffer.from(text, 'base64')
  return toBase64(bytes) === text ? bytes : null
}

/** A Buffer over the same memory: no copy. */
export const view = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * Gives back the memory of large bytes at once: left to the collector, such memory makes it run over the whole heap for
 * every few of them. Only for bytes that nothing else looks at; they have no length afterwards. Small ones may lie in
 * the memory that Node shares among Buffers (up to half of it goes to one), and stay.
 */
export const release = ({ buffer, byteLength }: Uint8Array): void => {
  if (!(buffer instanceof ArrayBuffer)) return
  if (buffer.byteLength > Buffer.poolSize || byteLength > Buffer.poolSize / 2) buffer.transfer(0)
}

export const utf8 = (text: string): Uint8Array => Buffer.from(text, 'utf8')

/** The text of valid UTF-8; `null` for anything else. A byte order mark is kept, so that encoding gives the bytes back. */
export const parseUtf8 = (bytes: Uint8Array): string | null => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

export const concat = (parts: readonly Uint8Array[]): Uint8Array => Buffer.concat(parts)

export const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => view(a).equals(view(b))
