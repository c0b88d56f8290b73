import { type Static, Type } from '../schema.ts'
import { body, id, listQuery, name, oneOf, time } from './shapes.ts'

export const keyType = oneOf('managed', 'customer')

/** The identity of a managed key is sealed under the master key; the one of a customer's key was never here. */
export const EncryptionKey = Type.Object({
  id,
  name,
  type: keyType,
  recipient: Type.String(),
  created_at: time,
})

/** Whoever has the identity reads everything that was ever encrypted to the key. */
export const ExportedKey = Type.Object({
  ...EncryptionKey.properties,
  identity: Type.String({ description: 'an age identity, AGE-SECRET-KEY-1…' }),
})

/** `recipient` belongs to `customer` and only to it. */
export const EncryptionKeyInput = body({
  name,
  type: keyType,
  recipient: Type.Optional(Type.String({ pattern: '^age1[02-9ac-hj-np-z]{58}$' })),
})

export const EncryptionKeyQuery = listQuery({ type: Type.Optional(keyType) }, [
  'created_at',
  'name',
])

export type EncryptionKey = Static<typeof EncryptionKey>
export type ExportedKey = Static<typeof ExportedKey>
export type EncryptionKeyInput = Static<typeof EncryptionKeyInput>
export type EncryptionKeyQuery = Static<typeof EncryptionKeyQuery>
