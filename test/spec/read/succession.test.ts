import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { signedAfterOffice } from '#shared/read/succession.ts'

const key = (n: number): Uint8Array => new Uint8Array(32).fill(n)
type Record = { readonly sequence: number; readonly signer: number }
const late = (keys: readonly number[], signers: readonly number[]): readonly number[] => {
  const records: Record[] = signers.map((signer, i) => ({ sequence: i + 1, signer }))
  const found = signedAfterOffice(records.toReversed(), keys.map(key))
  return records.filter((one) => found.has(one)).map(({ sequence }) => sequence)
}

describe('a key that was replaced', () => {
  test('signs no record after one of its replacement', () => {
    expect(late([1, 2], [0, 0, 1, 0, 1])).toEqual([4])
    expect(late([1, 2, 3], [0, 2, 1, 0, 2])).toEqual([3, 4])
  })

  test('may have signed all before it, also where its replacement has not signed yet', () => {
    expect(late([1, 2, 3], [0, 0, 0])).toEqual([])
    expect(late([1, 2, 3], [0, 1, 1, 2])).toEqual([])
  })

  test('may come back, and stay where only the readers were changed', () => {
    // As `verifyRecord` says it: the last place of the key.
    expect(late([1, 2, 1], [2, 1, 2])).toEqual([])
    expect(late([1, 2, 1], [2, 1, 2, 1])).toEqual([4])
    expect(late([1, 1, 1], [2, 2, 2])).toEqual([])
  })

  test('of two records with one number either order is taken', () => {
    const records = [
      { sequence: 4, signer: 1 },
      { sequence: 4, signer: 0 },
    ]
    expect(signedAfterOffice(records, [key(1), key(2)]).size).toBe(0)
  })
})

test('records whose keys took office in order are all believed, in whatever order they come', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 5 }), { maxLength: 20 }), fc.nat(), (places, seed) => {
      const records = places
        .toSorted((a, b) => a - b)
        .map((signer, sequence) => ({ sequence, signer }))
      const turned = [...records.slice(seed % 7), ...records.slice(0, seed % 7)]
      expect(signedAfterOffice(turned, [0, 1, 2, 3, 4, 5].map(key)).size).toBe(0)
    }),
  )
})
