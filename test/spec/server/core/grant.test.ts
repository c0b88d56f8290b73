import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Ask, decideGrants, MAX_SIZE, RUN_CAPS, type Scope } from '#server/core/grant.ts'
import type { ObjectClass, Wanted } from '#shared/protocol/reports.ts'

const SHA = 'a'.repeat(43)
const scope: Scope = {
  numbers: { first: 2 ** 32 + 1, next: 2 ** 32 + 11 },
  opened: true,
  sequence: 7,
  pagesComplete: true,
  records: 0,
  granted: { objects: 0, bytes: 0 },
}
const wanted = (over: Partial<Wanted> = {}): Wanted => ({
  class: 'pack',
  no: 2 ** 32 + 1,
  size: 1000,
  sha256: SHA,
  ...over,
})
const ask = (over: Partial<Wanted> = {}, known: Ask['known'] = null): Ask => ({
  wanted: wanted(over),
  known,
})
const refusal = (where: Scope, one: Ask): string | null => {
  const decided = decideGrants(where, [one])
  return 'problem' in decided ? decided.problem : null
}

describe('a request for grants', () => {
  test('gets fresh objects for numbers of this vault, and the same again when it is repeated', () => {
    expect(decideGrants(scope, [ask(), ask({ no: 2 ** 32 + 10, class: 'tree' })])).toEqual({
      grants: ['fresh', 'fresh'],
    })
    for (const state of ['granted', 'stored'] as const)
      expect(decideGrants(scope, [ask({}, { state, size: 1000, sha256: SHA })])).toEqual({
        grants: ['again'],
      })
  })

  test('is refused for other bytes under a number that was granted', () => {
    const known = { state: 'granted', size: 1000, sha256: SHA } as const
    expect(refusal(scope, ask({ sha256: 'b'.repeat(43) }, known))).toMatch(/other bytes/)
    expect(refusal(scope, ask({ size: 1001 }, known))).toMatch(/other bytes/)
    expect(decideGrants(scope, [ask(), ask({ size: 1001 })])).toMatchObject({ refused: 1 })
    expect(decideGrants(scope, [ask(), ask()])).toEqual({ grants: ['fresh', 'again'] })
  })

  test.each([2 ** 32, 2 ** 32 + 11, 0, 1, 2 ** 33 + 1])(
    'is refused for the number %d, which was not given to the vault',
    (no) => {
      expect(refusal(scope, ask({ no }))).toMatch(/not given/)
    },
  )

  test.each(Object.entries(MAX_SIZE))(
    'is refused for a %s above %d bytes and for an empty one',
    (kind, max) => {
      const open = { ...scope, opened: false }
      const of = kind as ObjectClass
      const no = of === 'record' ? 7 : of === 'pack' || of === 'tree' ? 2 ** 32 + 1 : 0
      expect(refusal(open, ask({ class: of, no, size: max }))).toBeNull()
      expect(refusal(open, ask({ class: of, no, size: max + 1 }))).toMatch(/size/)
      expect(refusal(open, ask({ class: of, no, size: 0 }))).toMatch(/size/)
    },
  )

  test('is refused for a record of another sequence, or before the pages are complete', () => {
    expect(refusal(scope, ask({ class: 'record', no: 7 }))).toBeNull()
    expect(refusal(scope, ask({ class: 'record', no: 8 }))).toMatch(/sequence/)
    expect(refusal({ ...scope, pagesComplete: false }, ask({ class: 'record', no: 7 }))).toMatch(
      /pages/,
    )
    expect(refusal({ ...scope, records: 10 }, ask({ class: 'record', no: 7 }))).toMatch(/too many/)
  })

  test('is refused for a signer or a secret once the vault is open', () => {
    for (const kind of ['signer', 'key'] as const) {
      expect(refusal({ ...scope, opened: false }, ask({ class: kind, no: 0 }))).toBeNull()
      expect(refusal({ ...scope, opened: false }, ask({ class: kind, no: 1 }))).toMatch(/first/)
      expect(refusal(scope, ask({ class: kind, no: 0 }))).toMatch(/open/)
    }
  })

  test('is refused for an object that was deleted', () => {
    expect(refusal(scope, ask({}, { state: 'gone', size: 1000, sha256: SHA }))).toMatch(/deleted/)
  })

  test('never brings a run above its caps, in objects or in bytes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 0, max: 20_000 }),
        fc.array(fc.record({ no: fc.nat(9), size: fc.integer({ min: 1, max: 5000 }) }), {
          maxLength: 64,
        }),
        (objects, bytes, list) => {
          const granted = { objects: RUN_CAPS.objects - objects, bytes: RUN_CAPS.bytes - bytes }
          const asks = list.map(({ no, size }) => ask({ no: 2 ** 32 + 1 + no, size }))
          const decided = decideGrants({ ...scope, granted }, asks)
          if ('problem' in decided) return
          const fresh = asks.filter((_, place) => decided.grants[place] === 'fresh')
          expect(fresh.length).toBeLessThanOrEqual(objects)
          expect(fresh.reduce((sum, one) => sum + one.wanted.size, 0)).toBeLessThanOrEqual(bytes)
        },
      ),
    )
  })
})
