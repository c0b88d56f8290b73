/** Keys that somebody else has found and sealed to us, object by object (FORMAT.md, "Keys"; PROTOCOL.md, `packs.opened`). */
import { FILE_KEY, openPreambleWith } from '../format/age.ts'
import { fail } from '../errors.ts'
import { openSealed } from '../seal.ts'
import type { OpenedPreamble } from './access.ts'

/** What a key is sealed for: an opening's record, id key, or object (pack or tree) by its number. */
export const purposeOf = (opening: string, what: 'record' | 'id-key' | number): string =>
  `open-request/${opening}/${typeof what === 'number' ? `object/${String(what)}` : what}`

export type Opener = {
  /** The X25519 secret that keys are sealed to. */
  readonly secret: Uint8Array
  /** The id that is part of every purpose. */
  readonly opening: string
}

const opened = (
  { secret, opening }: Opener,
  what: 'record' | 'id-key' | number,
  sealed: Uint8Array,
): Uint8Array => openSealed(secret, sealed, purposeOf(opening, what))

/** The vault's id key. `DAMAGED` where it was sealed for something else. */
export const openIdKey = (opener: Opener, sealed: Uint8Array): Uint8Array => {
  const key = opened(opener, 'id-key', sealed)
  if (key.length !== 32)
    throw fail('DAMAGED', { what: 'The id key', problem: 'it has no 32 bytes' })
  return key
}

/** `preamble` may be followed by other bytes. `DAMAGED` where the key is not this object's, or sealed for another. */
export const openWithSealed = (
  opener: Opener,
  of: { readonly what: 'record' | number; readonly sealed: Uint8Array },
  preamble: Uint8Array,
): OpenedPreamble => {
  const fileKey = opened(opener, of.what, of.sealed)
  if (fileKey.length !== FILE_KEY)
    throw fail('DAMAGED', { what: 'A file key', problem: `it has no ${String(FILE_KEY)} bytes` })
  return openPreambleWith(preamble, fileKey)
}
