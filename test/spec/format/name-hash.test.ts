import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { createNameHash, halfSipHash } from '#shared/format/name-hash.ts'
import { keyOf } from '../../support/format-material.ts'

/** From the authors' `vectors_hsip32`: key 00…07, message 00, 01, … of each length. */
test.each([
  [0, 'a9359f5b'],
  [1, '27475ab8'],
  [2, 'fa62a603'],
  [3, '8afee704'],
])('HalfSipHash-2-4 of %i bytes is the published one', (length, hex) => {
  const message = String.fromCharCode(...Array.from({ length }, (_, i) => i))
  const out = Buffer.alloc(4)
  out.writeUInt32LE(halfSipHash(0x03020100, 0x07060504, message))
  expect(out.toString('hex')).toBe(hex)
})

/** Another writing of the algorithm: on BigInts, with the padded message laid out first. */
const slow = (key: Buffer, message: Buffer): number => {
  const M = 0xffffffffn
  const rotate = (x: bigint, n: bigint): bigint => ((x << n) | (x >> (32n - n))) & M
  const padded = Buffer.alloc(Math.floor(message.length / 4) * 4 + 4)
  message.copy(padded)
  padded[padded.length - 1] = message.length & 255
  let [v0, v1, v2, v3] = [BigInt(key.readUInt32LE(0)), BigInt(key.readUInt32LE(4)), 0n, 0n]
  v2 = 0x6c796765n ^ v0
  v3 = 0x74656462n ^ v1
  const rounds = (n: number): void => {
    for (let i = 0; i < n; i += 1) {
      v0 = (v0 + v1) & M
      v1 = rotate(v1, 5n) ^ v0
      v0 = rotate(v0, 16n)
      v2 = (v2 + v3) & M
      v3 = rotate(v3, 8n) ^ v2
      v0 = (v0 + v3) & M
      v3 = rotate(v3, 7n) ^ v0
      v2 = (v2 + v1) & M
      v1 = rotate(v1, 13n) ^ v2
      v2 = rotate(v2, 16n)
    }
  }
  for (let at = 0; at < padded.length; at += 4) {
    const word = BigInt(padded.readUInt32LE(at))
    v3 ^= word
    rounds(2)
    v0 ^= word
  }
  v2 ^= 0xffn
  rounds(4)
  return Number(v1 ^ v3)
}

test('the hash of a place is that of its name under a key made from its directory', () => {
  const key = keyOf('segment')
  const hash = createNameHash(key)
  for (const dir of ['/', '/usr', '/\xff', '/usr']) {
    const dirKey = createHmac('sha256', key)
      .update(Buffer.from(dir, 'latin1'))
      .digest()
      .subarray(0, 8)
    for (let length = 1; length < 70; length += 1) {
      const name = String.fromCharCode(...Array.from({ length }, (_, i) => 255 - i))
      expect(hash(dir, name)).toBe(slow(dirKey, Buffer.from(name, 'latin1')))
    }
  }
})
