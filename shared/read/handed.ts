/** Keys that somebody else has found and sealed to us, object by object (FORMAT.md, "Keys"; PROTOCOL.md, `packs.opened`). */
import { FILE_KEY, openPreambleWith } from '../format/age.ts'
import { fail } from '../errors.ts'
import { sealedFor } from '../protocol/open-request.ts'
import { openSealed } from '../seal.ts'
import type { OpenedPreamble } from './access.ts'

export type Opener = {
  /** The X25519 secret that keys are sealed to. */
  readonly secret: Uint8Array
  /** The id that is part of every purpose. */
  readonly opening: string
}

/** The vault's id key. `DAMAGED` where it was sealed for something else. */
export const openIdKey = (opener: Opener, sealed: Uint8Array): Uint8Array => {
  const key = openSealed(opener.secret, sealed, sealedFor.idKey(opener.opening))
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
  const { secret, opening } = opener
  const purpose =
    of.what === 'record' ? sealedFor.record(opening) : sealedFor.object(opening, of.what)
  const fileKey = openSealed(secret, of.sealed, purpose)
  if (fileKey.length !== FILE_KEY)
    throw fail('DAMAGED', { what: 'A file key', problem: `it has no ${String(FILE_KEY)} bytes` })
  return openPreambleWith(preamble, fileKey)
}
