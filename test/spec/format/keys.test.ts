import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeBech32, encodeBech32 } from '#shared/format/bech32.ts'
import {
  equalBytes,
  parseBase64,
  parseBase64url,
  toBase64,
  toBase64url,
} from '#shared/format/bytes.ts'
import {
  boxPublicKey,
  makeIdentity,
  makeSigningKey,
  parseFingerprint,
  parseIdentity,
  parseIdentityFile,
  parseRecipient,
  recipientsFingerprint,
  sharedSecret,
  showFingerprint,
  verifySignature,
} from '#shared/format/keys.ts'
import { decodeVaultSecret, deriveKeys, encodeVaultSecret } from '#shared/format/vault-secret.ts'
import { hasCode } from '#shared/errors.ts'
import { identityOf, secretOf } from '../../support/age-material.ts'

const refused = (run: () => unknown): boolean => {
  try {
    run()
    return false
  } catch (error) {
    return hasCode(error, 'VALIDATION_FAILED')
  }
}

const RFC_7748 = {
  alice: '77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a',
  bob: '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb',
  shared: '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742',
}

const someBytes = fc.uint8Array({ maxLength: 100 })

describe('bech32', () => {
  test('decodes what it encoded, in either case', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        const text = encodeBech32('age', bytes)
        const lower = decodeBech32(text)
        const upper = decodeBech32(text.toUpperCase())
        return (
          lower?.prefix === 'age' &&
          upper?.prefix === 'AGE' &&
          equalBytes(lower.bytes, bytes) &&
          equalBytes(upper.bytes, bytes)
        )
      }),
    )
  })

  test('refuses any changed character, mixed case and what is cut', () => {
    const text = encodeBech32('age', secretOf('bech32'))
    for (let i = 0; i < text.length; i += 1) {
      const other = text.charAt(i) === 'q' ? 'p' : 'q'
      expect(decodeBech32(text.slice(0, i) + other + text.slice(i + 1))).toBeNull()
      expect(decodeBech32(text.slice(0, i))).toBeNull()
    }
    expect(decodeBech32(`A${text.slice(1)}`)).toBeNull()
    expect(decodeBech32(`${text} `)).toBeNull()
    expect(decodeBech32(`${text}\n`)).toBeNull()
    expect(decodeBech32('')).toBeNull()
    expect(decodeBech32('1')).toBeNull()
  })

  test('refuses loose bits that are not zero, and a word too many, under a right checksum', () => {
    const alphabet = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
    const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]
    const step = (sum: number, value: number): number =>
      generator.reduce(
        (next, g, bit) => (((sum >>> 25) >> bit) & 1 ? next ^ g : next),
        ((sum & 0x1ffffff) << 5) ^ value,
      )
    const textOf = (words: readonly number[]): string => {
      // The prefix "age", expanded.
      const all = [3, 3, 3, 0, 1, 7, 5, ...words, 0, 0, 0, 0, 0, 0]
      const sum = all.reduce(step, 1) ^ 1
      const check = [25, 20, 15, 10, 5, 0].map((shift) => (sum >>> shift) & 31)
      return `age1${[...words, ...check].map((word) => alphabet.charAt(word)).join('')}`
    }
    // Two words are one byte and two loose bits; three would be one byte and seven.
    expect(decodeBech32(textOf([1, 4]))?.bytes).toEqual(Uint8Array.of(9))
    expect(textOf([1, 4])).toBe(encodeBech32('age', Uint8Array.of(9)))
    expect(decodeBech32(textOf([1, 5]))).toBeNull()
    expect(decodeBech32(textOf([1, 6]))).toBeNull()
    expect(decodeBech32(textOf([1, 4, 0]))).toBeNull()
    expect(decodeBech32(textOf([0]))).toBeNull()
  })

  // BIP 173, "Test vectors"
  test.each([
    'A12UEL5L',
    'a12uel5l',
    'an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs',
    'split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w',
    '?1ezyfcl',
  ])('takes %s of BIP 173', (text) => {
    const decoded = decodeBech32(text)
    expect(decoded).not.toBeNull()
    expect(
      encodeBech32(decoded?.prefix.toLowerCase() ?? '', decoded?.bytes ?? new Uint8Array()),
    ).toBe(text.toLowerCase())
  })

  test.each([
    '\x201nwldj5',
    '\x7f1axkwrx',
    'pzry9x0s0muk',
    '1pzry9x0s0muk',
    'x1b4n0q5v',
    'li1dgmt3',
    'A1G7SGD8',
    '10a06t8',
    '1qzzfhee',
  ])('refuses %j of BIP 173', (text) => {
    expect(decodeBech32(text)).toBeNull()
  })
})

describe('base64', () => {
  test('is read only as it would be written', () => {
    fc.assert(
      fc.property(someBytes, (bytes) => {
        const url = parseBase64url(toBase64url(bytes))
        const plain = parseBase64(toBase64(bytes))
        return url !== null && plain !== null && equalBytes(url, bytes) && equalBytes(plain, bytes)
      }),
    )
    fc.assert(
      fc.property(fc.string(), (text) => {
        const bytes = parseBase64(text)
        return bytes === null || toBase64(bytes) === text
      }),
    )
    for (const text of ['AA==', 'AB', 'A', 'AA\n', ' AA', 'A-A_', 'AAAA=']) {
      expect([text, parseBase64(text)]).toEqual([text, null])
    }
    for (const text of ['AA==', 'AB', 'A', 'AA\n', 'A+A/']) {
      expect([text, parseBase64url(text)]).toEqual([text, null])
    }
    expect(parseBase64url('AAAA', 32)).toBeNull()
  })
})

describe('recipients and identities', () => {
  const identity = identityOf('one')

  test('are read as they are written', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (secret) => {
        const made = makeIdentity(secret)
        const read = parseIdentity(made.text)
        return (
          equalBytes(read.secretKey, secret) &&
          read.recipient.text === made.recipient.text &&
          equalBytes(parseRecipient(made.recipient.text).publicKey, boxPublicKey(secret))
        )
      }),
    )
  })

  test('are refused in another case, of another kind, and of another length', () => {
    expect(refused(() => parseIdentity(identity.text.toLowerCase()))).toBe(true)
    expect(refused(() => parseIdentity(identity.recipient.text))).toBe(true)
    expect(refused(() => parseRecipient(identity.recipient.text.toUpperCase()))).toBe(true)
    expect(refused(() => parseRecipient(identity.text))).toBe(true)
    expect(refused(() => parseRecipient(encodeBech32('age', new Uint8Array(31).fill(9))))).toBe(
      true,
    )
    expect(refused(() => parseRecipient(encodeBech32('agf', secretOf('x'))))).toBe(true)
  })

  test('never show a secret in their messages', () => {
    const wrong = identity.text.slice(0, -1)
    expect(() => parseIdentity(wrong)).toThrow(
      expect.not.stringContaining(wrong.slice(16, 40)) as string,
    )
  })

  test('that are points of low order are refused', () => {
    // The points of order 1, 2, 4 and 8 (RFC 7748; "May the Fourth Be With You", 2017), and one beyond the prime.
    const points = [
      '0000000000000000000000000000000000000000000000000000000000000000',
      '0100000000000000000000000000000000000000000000000000000000000000',
      'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
      '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
      'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
      'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    ]
    for (const hex of points) {
      const point = Buffer.from(hex, 'hex')
      expect(sharedSecret(identity.secretKey, point)).toBeNull()
      expect(refused(() => parseRecipient(encodeBech32('age', point)))).toBe(true)
    }
  })

  test('in files are read past comments and empty lines', () => {
    const other = identityOf('two')
    const file = `# created: then\n# public key: ${identity.recipient.text}\r\n${identity.text}\r\n\n${other.text}`
    expect(parseIdentityFile(file).map((one) => one.text)).toEqual([identity.text, other.text])
    expect(refused(() => parseIdentityFile('# nothing\n'))).toBe(true)
    expect(refused(() => parseIdentityFile(`${identity.text} x\n`))).toBe(true)
  })

  // RFC 7748, section 6.1
  test('exchange the secret of RFC 7748', () => {
    const alice = Buffer.from(RFC_7748.alice, 'hex')
    const bob = Buffer.from(RFC_7748.bob, 'hex')
    const left = sharedSecret(alice, boxPublicKey(bob))
    const right = sharedSecret(bob, boxPublicKey(alice))
    expect(left).toEqual(Buffer.from(RFC_7748.shared, 'hex'))
    expect(right).toEqual(left)
  })
})

describe('signing keys', () => {
  const key = makeSigningKey(secretOf('signing'))
  const message = Buffer.from('message')
  const signature = key.sign(message)

  test('verify what they signed and nothing else', () => {
    expect(verifySignature(key.publicKey, message, signature)).toBe(true)
    expect(verifySignature(key.publicKey, Buffer.from('messagf'), signature)).toBe(false)
    expect(verifySignature(makeSigningKey(secretOf('x')).publicKey, message, signature)).toBe(false)
    for (let bit = 0; bit < 512; bit += 1) {
      const bad = Uint8Array.from(signature)
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect([bit, verifySignature(key.publicKey, message, bad)]).toEqual([bit, false])
    }
  })

  test('refuse keys and signatures of another length without throwing', () => {
    fc.assert(
      fc.property(
        someBytes,
        someBytes,
        (publicKey, bytes) => !verifySignature(publicKey, message, bytes),
      ),
    )
  })
})

describe('fingerprints', () => {
  const set = {
    content: [identityOf('a').recipient.text],
    recovery: [identityOf('b').recipient.text],
    list: [identityOf('c').recipient.text],
  }
  const fingerprint = recipientsFingerprint(set)

  test('differ when any recipient, or its class, differs', () => {
    const others = [
      { ...set, list: [] },
      { ...set, content: set.recovery, recovery: set.content },
      { ...set, content: [...set.content, ...set.recovery] },
      { ...set, recovery: [], list: [...set.recovery, ...set.list] },
    ]
    const all = [fingerprint, ...others.map(recipientsFingerprint)]
    expect(new Set(all).size).toBe(all.length)
  })

  test('are refused for what is no recipient', () => {
    expect(refused(() => recipientsFingerprint({ ...set, list: ['age1\nrecovery age1'] }))).toBe(
      true,
    )
  })

  test('are read as people give them', () => {
    const shown = showFingerprint(fingerprint)
    expect(shown).toMatch(/^([0-9a-f]{4} ){15}[0-9a-f]{4}$/)
    for (const text of [
      shown,
      shown.toUpperCase(),
      shown.replaceAll(' ', '-'),
      ` ${fingerprint}\n`,
    ]) {
      expect(parseFingerprint(text)).toBe(fingerprint)
    }
    expect(refused(() => parseFingerprint(shown.slice(1)))).toBe(true)
    expect(refused(() => showFingerprint('abc'))).toBe(true)
  })
})

describe('the vault secret', () => {
  const vault = '01939a2f-7c00-7abc-8def-0123456789ab'
  const other = '01939a2f-7c00-7abc-8def-0123456789ac'
  const secret = secretOf('vault')

  test('gives three keys that have nothing to do with each other', () => {
    const { idKey, chunkerKey, segmentKey } = deriveKeys(secret)
    expect(new Set([idKey, chunkerKey, segmentKey, secret].map(toBase64url)).size).toBe(4)
    expect(deriveKeys(secretOf('other')).idKey).not.toEqual(idKey)
    expect(() => deriveKeys(new Uint8Array(31))).toThrow(RangeError)
  })

  test('is read only for its own vault, and only whole', () => {
    const bytes = encodeVaultSecret(vault, secret)
    expect(equalBytes(decodeVaultSecret(bytes, vault), secret)).toBe(true)
    expect(() => decodeVaultSecret(bytes, other)).toThrow(/another vault/)
    for (let length = 0; length < bytes.length - 1; length += 1) {
      expect(() => decodeVaultSecret(bytes.subarray(0, length), vault)).toThrow(/damaged/)
    }
    const newer = Buffer.from(Buffer.from(bytes).toString().replace('"format":1', '"format":2'))
    expect(() => decodeVaultSecret(newer, vault)).toThrow(/format 2/)
  })
})
