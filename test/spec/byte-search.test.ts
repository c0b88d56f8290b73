import { describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { searchFor } from '../support/byte-search.ts'
import { needlesOfKey, needlesOfText } from '../support/needles.ts'
import { seeded } from '../support/seeded.ts'

const chance = seeded('byte search')
const key = chance.bytes(32)
const needles = [
  ...needlesOfKey('key', key),
  ...needlesOfText('text', 'AGE-SECRET-KEY-1QQQQQQQQQQ'),
]
const search = searchFor(needles)

const inPieces = (bytes: Uint8Array): ReturnType<typeof search.stack> =>
  search.stack({
    where: 'here',
    read: (into, position) => {
      const length = Math.min(into.length, bytes.length - position)
      into.set(bytes.subarray(position, position + length))
      return length
    },
  })

describe('the search for secrets', () => {
  test('finds every form of each, wherever it lies between two pieces', () => {
    for (const [n, needle] of needles.entries()) {
      const stack = chance.bytes(4 * MiB + 4096)
      // Around the end of the first piece, and at the ends of the whole.
      const places = [4 * MiB - 1 - n, 4 * MiB - needle.bytes.length, 0]
      const at = places[n % 3] ?? 0
      stack.set(needle.bytes, at)
      const { hits, size } = inPieces(stack)
      expect(hits.map(({ form }) => form)).toContain(needle.form)
      expect(size).toBe(stack.length)
    }
  })

  test('finds a key within a longer text that is encoded as a whole', () => {
    for (const encoding of ['base64', 'base64url', 'hex', 'utf8', 'utf16le', 'latin1'] as const) {
      const raw = Buffer.from(key)
      const text = encoding.startsWith('utf') ? raw.toString('base64url') : raw.toString('latin1')
      for (const before of ['', 'a', 'ab', 'abc']) {
        const long = Buffer.from(`${before}${text}and more`, 'latin1')
        const form = encoding === 'utf16le' ? long.toString('latin1') : long.toString(encoding)
        const stack =
          encoding === 'utf16le'
            ? Buffer.from(form, 'utf16le')
            : Buffer.from(form, encoding === 'latin1' ? 'latin1' : 'utf8')
        expect([encoding, before, search.bytes('here', stack).length > 0]).toEqual([
          encoding,
          before,
          true,
        ])
      }
    }
  })

  test('finds nothing where nothing is', () => {
    expect(inPieces(chance.bytes(9 * MiB)).hits).toEqual([])
    expect(inPieces(new Uint8Array(5)).hits).toEqual([])
  })
})
