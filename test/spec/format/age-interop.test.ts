/** Against `age-encryption`, the age implementation in TypeScript by the author of age. */
import { Decrypter, Encrypter, generateIdentity, identityToRecipient } from 'age-encryption'
import { describe, expect, test } from 'vitest'
import { open } from '#shared/format/age.ts'
import { equalBytes } from '#shared/format/bytes.ts'
import { parseIdentity } from '#shared/format/keys.ts'
import { MiB } from '#shared/units.ts'
import { identityOf, plainOf, sealedFor } from '../../support/age-material.ts'

const SIZES = [0, 1, 65_535, 65_536, 65_537, 16 * MiB]
const identities = ['content', 'recovery', 'list'].map(identityOf)

describe('age-encryption', () => {
  test.each(SIZES)('opens what we sealed, with each identity (%i bytes)', async (size) => {
    const plaintext = plainOf(size)
    const object = sealedFor(identities, plaintext)
    // Its cipher is JavaScript: one identity is enough for the large one.
    for (const identity of size > MiB ? identities.slice(1, 2) : identities) {
      const decrypter = new Decrypter()
      decrypter.addIdentity(identity.text)
      expect(equalBytes(await decrypter.decrypt(object), plaintext)).toBe(true)
    }
  })

  test.each(SIZES)('seals what we open, with each identity (%i bytes)', async (size) => {
    const plaintext = plainOf(size)
    const encrypter = new Encrypter()
    for (const identity of identities) encrypter.addRecipient(identity.recipient.text)
    const object = await encrypter.encrypt(plaintext)
    for (const identity of identities) {
      expect(equalBytes(open(object, [identity]), plaintext)).toBe(true)
    }
  })

  test('agrees on recipients', async () => {
    for (const identity of identities) {
      expect(await identityToRecipient(identity.text)).toBe(identity.recipient.text)
    }
    const theirs = await generateIdentity()
    expect(parseIdentity(theirs).recipient.text).toBe(await identityToRecipient(theirs))
  })
})
