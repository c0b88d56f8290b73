import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { aclBytes, aclText } from '#shared/format/acl.ts'

type Vectors = {
  readonly lists: readonly { readonly text: string; readonly hex: string }[]
  readonly no_lists: readonly string[]
  readonly no_texts: readonly string[]
}

const vectors = JSON.parse(
  readFileSync(new URL('../../vectors/v1/acl.json', import.meta.url), 'utf8'),
) as Vectors

describe('access lists', () => {
  test.each(vectors.lists)('$text', ({ text, hex }) => {
    expect(aclText(Buffer.from(hex, 'hex'))).toBe(text)
    expect(Buffer.from(aclBytes(text) ?? []).toString('hex')).toBe(hex)
  })

  test.each(vectors.no_lists.map((hex) => [hex]))('the bytes "%s" are none', (hex) => {
    expect(aclText(Buffer.from(hex, 'hex'))).toBeNull()
  })

  test.each(vectors.no_texts.map((text) => [text]))('the text "%s" is none', (text) => {
    expect(aclBytes(text)).toBeNull()
  })

  test('whatever bytes are taken for a list come back from its text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (rest) => {
        const bytes = Uint8Array.from([2, 0, 0, 0, ...rest])
        const text = aclText(bytes)
        if (text !== null) expect(aclBytes(text)).toEqual(bytes)
      }),
    )
  })
})
