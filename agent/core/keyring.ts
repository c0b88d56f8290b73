/** What opens the objects of a vault: a person's identities, or keys that were handed over object by object. */
import { open as openAge, openPreamble, openSegments } from '#shared/format/age.ts'
import type { Identity } from '#shared/format/keys.ts'
import type { OpenedPreamble } from '#shared/read/access.ts'
import { type Opener, openIdKey, openWithSealed } from '#shared/read/handed.ts'

export type Keyring = {
  /** Key of the payload of the object that begins with `bytes`. `WRONG_KEY` or `DAMAGED`. */
  preamble(bytes: Uint8Array, key: string): OpenedPreamble
  /** The plaintext of a whole object. `WRONG_KEY` or `DAMAGED`. */
  open(bytes: Uint8Array, key: string): Uint8Array
  /** Whether an object that is sealed to these recipients must open. */
  fits(recipients: readonly string[]): boolean
  /** The vault's id key, where it was handed over; else it is read from the vault. */
  readonly idKey: Uint8Array | null
}

const named = (key: string): string => `the object ${key}`

export const identityRing = (identities: readonly Identity[]): Keyring => ({
  preamble: (bytes, key) => openPreamble(bytes, identities, named(key)),
  open: (bytes, key) => openAge(bytes, identities, named(key)),
  fits: (recipients) => identities.some(({ recipient }) => recipients.includes(recipient.text)),
  idKey: null,
})

export type SealedKey = { readonly what: 'record' | number; readonly sealed: Uint8Array }

/** Keys by object; what has none is left to `rest`. */
export const handedRing = (
  opener: Opener,
  {
    keys,
    sealedIdKey,
  }: { readonly keys: ReadonlyMap<string, SealedKey>; readonly sealedIdKey: Uint8Array | null },
  rest: Keyring,
): Keyring => {
  const preamble = (bytes: Uint8Array, key: string): OpenedPreamble => {
    const sealed = keys.get(key)
    return sealed === undefined ? rest.preamble(bytes, key) : openWithSealed(opener, sealed, bytes)
  }
  return {
    preamble,
    open: (bytes, key) => {
      const { key: payload, length } = preamble(bytes, key)
      return openSegments(payload, bytes.subarray(length), 0, true)
    },
    fits: (recipients) => rest.fits(recipients),
    idKey: sealedIdKey === null ? rest.idKey : openIdKey(opener, sealedIdKey),
  }
}
