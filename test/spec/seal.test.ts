import fc from 'fast-check'
import nacl from 'tweetnacl'
import { expect, test } from 'vitest'
import { macAtRest, openAtRest, openSealed, sealAtRest, sealerTo, sealTo } from '#shared/seal.ts'

const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
const key = bytes(32)
const text = fc.uint8Array({ maxLength: 300 })
const publicOf = (secretKey: Uint8Array): Uint8Array => nacl.scalarMult.base(secretKey)
const damaged = expect.objectContaining({ code: 'DAMAGED' }) as Error
const refused = (open: () => unknown): void => expect(open).toThrow(damaged)

const flip = (sealed: Uint8Array, at: number, bit: number): Uint8Array => {
  const changed = Uint8Array.from(sealed)
  changed[at] = changed[at]! ^ (1 << bit)
  return changed
}

test('the holder of the key opens what was sealed to it, for the same purpose', () => {
  fc.assert(
    fc.property(key, key, text, fc.string(), (secretKey, ephemeral, plain, purpose) => {
      const sealed = sealTo(publicOf(secretKey), plain, { ephemeral, purpose })
      expect(sealed).toHaveLength(plain.length + 49)
      expect(openSealed(secretKey, sealed, purpose)).toEqual(plain)
    }),
    { numRuns: 20 },
  )
})

test('one sealer seals many messages as if each were alone, and nothing twice for one purpose', () => {
  const secretKey = new Uint8Array(32).fill(3)
  const ephemeral = new Uint8Array(32).fill(9)
  const to = publicOf(secretKey)
  const seal = sealerTo(to, ephemeral)
  for (const purpose of ['a', 'b', '']) {
    const plain = Buffer.from(`for ${purpose}`)
    const sealed = seal(plain, purpose)
    expect(sealed).toEqual(sealTo(to, plain, { ephemeral, purpose }))
    expect(openSealed(secretKey, sealed, purpose)).toEqual(new Uint8Array(plain))
    expect(() => seal(plain, purpose)).toThrow(RangeError)
  }
})

test('another key, or another purpose, opens nothing that was sealed to a key', () => {
  fc.assert(
    fc.property(key, key, key, text, (secretKey, other, ephemeral, plain) => {
      fc.pre(!Buffer.from(publicOf(secretKey)).equals(publicOf(other)))
      const sealed = sealTo(publicOf(secretKey), plain, { ephemeral, purpose: 'a' })
      refused(() => openSealed(other, sealed, 'a'))
      refused(() => openSealed(secretKey, sealed, 'b'))
      refused(() => openSealed(secretKey, sealed))
    }),
    { numRuns: 10 },
  )
})

test('a sealed message with any bit flipped, or cut anywhere, is refused', () => {
  const secretKey = new Uint8Array(32).fill(3)
  const sealed = sealTo(publicOf(secretKey), Uint8Array.of(1, 2, 3), {
    ephemeral: new Uint8Array(32).fill(9),
  })
  for (let at = 0; at < sealed.length; at += 1) {
    // The top bit of an X25519 key is not part of its number; here the nonce is made of the key as it was sent.
    for (const bit of [0, 7]) refused(() => openSealed(secretKey, flip(sealed, at, bit)))
    refused(() => openSealed(secretKey, sealed.subarray(0, at)))
  }
})

test('a recipient of small order is refused, for everybody could open what is sealed to it', () => {
  const ephemeral = new Uint8Array(32).fill(9)
  for (const low of [0, 1]) {
    const publicKey = new Uint8Array(32)
    publicKey[0] = low
    refused(() => sealTo(publicKey, Uint8Array.of(1), { ephemeral }))
  }
})

test('what was sealed at rest opens under the same master key for the same purpose only', () => {
  const sealing = fc.record({
    master: key,
    other: key,
    here: fc.string(),
    there: fc.string(),
    plain: text,
  })
  fc.assert(
    fc.property(sealing, ({ master, other, here, there, plain }) => {
      const sealed = sealAtRest(master, here, plain, new Uint8Array(24).fill(7))
      expect(sealed).toHaveLength(plain.length + 41)
      expect(openAtRest(master, here, sealed)).toEqual(plain)
      if (there !== here) refused(() => openAtRest(master, there, sealed))
      if (!Buffer.from(other).equals(master)) refused(() => openAtRest(other, here, sealed))
    }),
  )
})

test('a secret at rest with any bit flipped, or cut anywhere, is refused', () => {
  const master = new Uint8Array(32).fill(5)
  const sealed = sealAtRest(master, 'storages/1', Uint8Array.of(1, 2, 3), new Uint8Array(24))
  for (let at = 0; at < sealed.length; at += 1) {
    for (let bit = 0; bit < 8; bit += 1)
      refused(() => openAtRest(master, 'storages/1', flip(sealed, at, bit)))
    refused(() => openAtRest(master, 'storages/1', sealed.subarray(0, at)))
  }
})

test('keys and nonces of the wrong length are a mistake of the caller', () => {
  const short = new Uint8Array(31)
  const right = new Uint8Array(32).fill(1)
  expect(() => sealTo(short, right, { ephemeral: right })).toThrow(RangeError)
  expect(() => sealTo(publicOf(right), right, { ephemeral: short })).toThrow(RangeError)
  expect(() => openSealed(short, new Uint8Array(60))).toThrow(RangeError)
  expect(() => sealAtRest(short, '', right, new Uint8Array(24))).toThrow(RangeError)
  expect(() => sealAtRest(right, '', right, new Uint8Array(23))).toThrow(RangeError)
})

// Frozen: what lies in databases and what agents of older versions were sent must open for ever.
test('what version 1 sealed still opens', () => {
  const secretKey = Uint8Array.from({ length: 32 }, (_, n) => n + 1)
  const sealed = Buffer.from(VECTORS.sealed, 'hex')
  expect(Buffer.from(openSealed(secretKey, sealed, 'a purpose')).toString()).toBe(
    'for one key only',
  )
  const rest = Buffer.from(VECTORS.atRest, 'hex')
  expect(Buffer.from(openAtRest(secretKey, 'storages/1/credentials', rest)).toString()).toBe(
    'at rest',
  )
  expect(
    sealTo(publicOf(secretKey), Buffer.from('for one key only'), {
      ephemeral: new Uint8Array(32).fill(0x42),
      purpose: 'a purpose',
    }),
  ).toEqual(new Uint8Array(sealed))
})

const VECTORS = {
  sealed:
    '01132c442be010fbd57e72603328aa76e71fccc1503aae219327d14d9c9993f472a2ab850f3d5019f70fd4f3db0909f031183d443fa780b37d94695262000d4890',
  atRest:
    '012424242424242424242424242424242424242424242424244ace8d3d788f3bfa5f2858efa27c66c5d354f22a8db5b2',
}

test('what is compared at rest is the same only for the same key, purpose and bytes', () => {
  fc.assert(
    fc.property(
      fc.tuple(key, key),
      fc.string(),
      fc.tuple(text, text),
      ([master, other], purpose, [a, b]) => {
        const mac = macAtRest(master, purpose, a)
        expect(mac).toHaveLength(32)
        expect(macAtRest(master, purpose, a)).toEqual(mac)
        expect(macAtRest(master, `${purpose}.`, a)).not.toEqual(mac)
        fc.pre(!Buffer.from(a).equals(b) && !Buffer.from(master).equals(other))
        expect(macAtRest(master, purpose, b)).not.toEqual(mac)
        expect(macAtRest(other, purpose, a)).not.toEqual(mac)
      },
    ),
  )
})
