import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { blobId, createBlobIds } from '#shared/format/blob-id.ts'
import { createSmallHmac } from '#shared/format/hmac.ts'
import { KiB } from '#shared/units.ts'
import { bytesOf, keyOf } from '../../support/format-material.ts'

const key = keyOf('id')
const SIZES = [0, 1, 55, 63, 64, 65, 4096, 16 * KiB - 1, 16 * KiB, 16 * KiB + 1, 512 * KiB]

test.each(SIZES)('the id of a blob of %i bytes is HMAC-SHA-256 under the id key', (size) => {
  const content = bytesOf(size)
  const expected = createHmac('sha256', key).update(content).digest()
  const ids = createBlobIds(key)
  expect(ids(content)).toEqual(expected)
  expect(ids(content)).toEqual(expected)
  expect(Buffer.from(blobId(key, content))).toEqual(expected)
})

test('ids made one after the other do not share memory', () => {
  const ids = createBlobIds(key)
  const first = ids(bytesOf(10))
  const copy = Buffer.from(first)
  ids(bytesOf(11))
  expect(first).toEqual(copy)
})

test('a key longer than a block is refused, not cut', () => {
  expect(() => createSmallHmac(new Uint8Array(65), 10)).toThrow(RangeError)
})
