import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openerFingerprint, packsSha256, sealedFor } from '#shared/protocol/open-request.ts'

describe('the hash of a set of packs', () => {
  test('is that of a text which anybody can write', () => {
    const text = 'holdfast/packs/v1\n4294967297\n4294967299\n'
    const expected = createHash('sha256').update(text).digest('base64url')
    expect(packsSha256([4_294_967_297, 4_294_967_299])).toBe(expected)
    expect(packsSha256(new Set([4_294_967_297, 4_294_967_299]))).toBe(expected)
  })

  test('is another one for every other set', () => {
    const sets = [[], [1], [11], [1, 11], [1, 1_000_001]]
    expect(new Set(sets.map((packs) => packsSha256(packs))).size).toBe(sets.length)
  })

  test('is refused for what is no set in order', () => {
    expect(() => packsSha256([2, 1])).toThrow(RangeError)
    expect(() => packsSha256([2, 2])).toThrow(RangeError)
    expect(() => packsSha256([0])).toThrow(RangeError)
  })
})

test('every sealed thing has a purpose of its own', () => {
  expect(sealedFor.record('x')).toBe('open-request/x/record')
  expect(sealedFor.idKey('x')).toBe('open-request/x/id-key')
  expect(sealedFor.object('x', 7)).toBe('open-request/x/object/7')
})

test('an opener is known by the SHA-256 of its key', () => {
  const key = new Uint8Array(32).fill(7)
  expect(openerFingerprint(key)).toBe(createHash('sha256').update(key).digest('base64url'))
})
