import { createCipheriv, createHash } from 'node:crypto'
import { type Seal, seal } from '#shared/format/age.ts'
import { type Identity, makeIdentity } from '#shared/format/keys.ts'

/** 32 bytes that look random and are the same in every run. */
export const secretOf = (name: string): Uint8Array =>
  createHash('sha256').update(`test ${name}`).digest()

/** `size` bytes that look random and are the same in every run; a longer text begins with the shorter one. */
export const plainOf = (size: number): Uint8Array =>
  createCipheriv('aes-256-ctr', secretOf('plain'), new Uint8Array(16)).update(new Uint8Array(size))

export const identityOf = (name: string): Identity => makeIdentity(secretOf(`identity ${name}`))

/** What an object is sealed with; `name` keeps two objects from sharing keys. */
export const sealFor = (identities: readonly Identity[], name: string): Seal => ({
  fileKey: secretOf(`file key ${name}`).subarray(0, 16),
  nonce: secretOf(`nonce ${name}`).subarray(0, 16),
  recipients: identities.map((identity) => identity.recipient),
  ephemerals: identities.map((_, i) => secretOf(`ephemeral ${String(i)} ${name}`)),
})

export const sealedFor = (
  identities: readonly Identity[],
  plaintext: Uint8Array,
  name = 'object',
): Uint8Array => seal({ ...sealFor(identities, name), plaintext })
