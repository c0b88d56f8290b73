/** Adds a key: `managed` is made here, of `customer` only the recipient comes here. */
import type { EncryptionKey, EncryptionKeyInput } from '#shared/api/encryption-keys.ts'
import { fail } from '#shared/errors.ts'
import { parseRecipient } from '#shared/format/keys.ts'
import type { Caller } from '../core/caller.ts'
import type { EncryptionKeys } from '../ports.ts'

const refuse = (problem: string): Error =>
  fail('VALIDATION_FAILED', { field: 'recipient', problem })

const checkRecipient = (input: EncryptionKeyInput): void => {
  if (input.type === 'managed') {
    if (input.recipient !== undefined) throw refuse('is made here for a managed key; leave it out')
    return
  }
  if (input.recipient === undefined) throw refuse('is required for a customer key')
  try {
    parseRecipient(input.recipient)
  } catch {
    throw refuse('is not an age X25519 recipient (its checksum does not match)')
  }
}

export const addEncryptionKey = async (
  keys: EncryptionKeys,
  caller: Caller,
  input: EncryptionKeyInput,
): Promise<EncryptionKey> => {
  checkRecipient(input)
  return keys.add(caller, input)
}
