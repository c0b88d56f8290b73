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

/**
 * Gives back memory that nobody uses any more, without waiting for the garbage collector: that one counts what lies outside
 * its heap, and goes through all of the heap for each 64 MiB. `bytes` must not be part of something larger, unless of the
 * slab that Node cuts small buffers from: none of them has half of it, and they stay.
 */
export const giveBack = ({ buffer, length }: Uint8Array): void => {
  if (2 * length >= buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}
