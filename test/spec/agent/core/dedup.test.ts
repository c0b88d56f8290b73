import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toBase64url } from '#shared/format/bytes.ts'
import {
  createTable,
  encodeRecord,
  type Place,
  recordHasId,
  recordIsIntact,
  recordLocator,
  recordPack,
} from '#agent/core/dedup.ts'

const idOf = (n: number): Uint8Array => createHash('sha256').update(`id ${n}`).digest()
const place: Place = { pack: 2 ** 40 + 5, frameOffset: 7, frameLength: 8, offset: 9, length: 10 }

test('every id that was added is found under its record, and no other is, however many there are', () => {
  const table = createTable()
  const records: Uint8Array[] = []
  const lookUp = (n: number): number => {
    const id = idOf(n)
    return table.find(id, 0, (record) => recordHasId(records[record] ?? id, id, 0))
  }
  for (let n = 0; n < 40_000; n += 1) {
    records.push(encodeRecord(idOf(n), place))
    table.add(idOf(n), 0, n)
  }
  expect(table.size).toBe(40_000)
  for (let n = 0; n < 40_000; n += 7) expect(lookUp(n)).toBe(n)
  for (let n = 40_000; n < 41_000; n += 1) expect(lookUp(n)).toBe(-1)
  table.clear()
  expect(lookUp(1)).toBe(-1)
})

test('a table behaves like a map from ids to their first records', () => {
  // Few different ids, and ids that share their first bytes, so that slots and tags collide.
  const someId = fc
    .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 40 }))
    .map(([a, b]) => {
      const id = new Uint8Array(32)
      id[0] = a
      id[31] = b
      return id
    })
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), someId), { maxLength: 400 }), (steps) => {
      const table = createTable()
      const model = new Map<string, number>()
      const ids: Uint8Array[] = []
      for (const [add, id] of steps) {
        const key = toBase64url(id)
        const found = table.find(id, 0, (record) => toBase64url(ids[record] ?? id) === key)
        expect(found).toBe(model.get(key) ?? -1)
        if (!add) continue
        if (!model.has(key)) model.set(key, ids.length)
        table.add(id, 0, ids.length)
        ids.push(id)
      }
    }),
  )
})

test('an id that lies within a longer run of bytes is found there', () => {
  const table = createTable()
  const run = Buffer.concat([idOf(1), idOf(2), idOf(3)])
  table.add(run, 32, 5)
  const record = encodeRecord(idOf(2), place)
  expect(table.find(run, 32, () => recordHasId(record, run, 32))).toBe(5)
  expect(table.find(run, 64, () => true)).toBe(-1)
})

test('a record keeps its locator, with pack numbers beyond 32 bits', () => {
  const record = encodeRecord(idOf(1), place)
  expect(recordPack(record)).toBe(place.pack)
  expect(recordLocator(record)).toEqual([2 ** 40 + 5, 7, 8, 9, 10, toBase64url(idOf(1))])
  expect(recordHasId(record, idOf(1), 0)).toBe(true)
  expect(recordHasId(record, idOf(2), 0)).toBe(false)
})

test('a record in which any bit is another one is not taken for one', () => {
  const record = encodeRecord(idOf(1), place)
  expect(recordIsIntact(record)).toBe(true)
  for (let bit = 0; bit < 8 * record.length; bit += 1) {
    const other = Uint8Array.from(record)
    other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(recordIsIntact(other)).toBe(false)
  }
})
