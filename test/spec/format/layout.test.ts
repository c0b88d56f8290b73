import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hasCode } from '#shared/errors.ts'
import {
  belowPrefix,
  controlPlaneKey,
  counterOf,
  downloadKey,
  epochOf,
  formatKey,
  type Key,
  packKey,
  packNo,
  parseKey,
  parsePrefix,
  recordKey,
  secretKey,
  showPackNo,
  signerKey,
  vaultPrefix,
  withPrefix,
} from '#shared/format/layout.ts'

const vault = '01939a2f-7c00-7abc-8def-0123456789ab'
const random = '0f'.repeat(16)

const uuid = fc.uuid({ version: 7 })
const hex = fc.stringMatching(/^[0-9a-f]{32}$/)
const epoch = fc.integer({ min: 0, max: 2 ** 21 - 1 })
const counter = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const chainNo = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const time = fc.integer({ min: 0, max: 253_402_300_799_999 })
const no = fc.tuple(epoch, counter).map(([e, c]) => packNo(e, c))

const anyKey: fc.Arbitrary<Key> = fc.oneof(
  fc.record({ kind: fc.constant('hint' as const), vault: uuid }),
  fc.record({ kind: fc.constantFrom('signer', 'key'), vault: uuid, no: chainNo, random: hex }),
  fc.record({ kind: fc.constantFrom('pack', 'tree'), vault: uuid, no, random: hex }),
  fc.record({
    kind: fc.constant('record' as const),
    vault: uuid,
    time: time.map((ms) => ms - (ms % 60_000)),
    backup: uuid,
  }),
  fc.record({ kind: fc.constant('control-plane' as const), epoch, time, random: hex }),
  fc.record({ kind: fc.constant('download' as const), random: hex }),
)

describe('object keys', () => {
  test('say what they were built from, and nothing else is one', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        expect(parseKey(formatKey(key))).toEqual(key)
      }),
    )
    fc.assert(fc.property(fc.string(), (text) => parseKey(text) === null))
  })

  test('with any character changed, added or removed are another key or none', () => {
    fc.assert(
      fc.property(
        anyKey,
        fc.nat(200),
        fc.constantFrom('', '0', 'a', '/', '.', 'A', '\n'),
        (key, at, other) => {
          const text = formatKey(key)
          const place = at % text.length
          const changed = text.slice(0, place) + other + text.slice(place + 1)
          const added = text.slice(0, place) + other + text.slice(place)
          for (const one of [changed, added]) {
            const read = parseKey(one)
            expect(read === null || formatKey(read) === one).toBe(true)
          }
        },
      ),
    )
  })

  test('are not built from what no key can hold', () => {
    const bad: (() => string)[] = [
      () => vaultPrefix('..'),
      () => vaultPrefix(vault.toUpperCase()),
      () => signerKey(vault, -1, random),
      () => signerKey(vault, 0.5, random),
      () => secretKey(vault, 2 ** 32, random),
      () => secretKey(vault, 0, random.toUpperCase()),
      () => packKey(vault, 'pack', 0, random),
      () => packKey(vault, 'pack', 2 ** 32, random),
      () => packKey(vault, 'pack', Number.NaN, random),
      () => packKey(vault, 'tree', 1, `${random}0`),
      () => recordKey(vault, Number.NaN, vault),
      () => recordKey(vault, 253_402_300_800_000, vault),
      () => recordKey(vault, 0, 'x'),
      () => controlPlaneKey(2 ** 21, 0, random),
      () => downloadKey('../x'),
    ]
    for (const build of bad) expect(build).toThrow(RangeError)
  })

  test('of a record hold the minute in UTC', () => {
    const key = recordKey(vault, Date.parse('2026-11-21T23:59:59.999Z'), vault)
    expect(key).toBe(`vaults/${vault}/backups/2026/11/21/23-59-${vault}.age`)
  })
})

describe('pack numbers', () => {
  test('are epoch and counter in one exact number', () => {
    fc.assert(
      fc.property(epoch, counter, (e, c) => {
        const number = packNo(e, c)
        expect(Number.isSafeInteger(number)).toBe(true)
        expect([epochOf(number), counterOf(number)]).toEqual([e, c])
        expect(showPackNo(number)).toBe(`${String(e)}.${String(c)}`)
      }),
    )
  })

  test('have no counter 0, and stay within their widths', () => {
    for (const [e, c] of [
      [0, 0],
      [-1, 1],
      [2 ** 21, 1],
      [0, 2 ** 32],
      [0.5, 1],
    ] as const) {
      expect(() => packNo(e, c)).toThrow(RangeError)
    }
  })
})

describe('prefixes', () => {
  test('are added and taken away', () => {
    const key = downloadKey(random)
    for (const prefix of ['', 'a', 'a/b.c']) {
      expect(parsePrefix(prefix)).toBe(prefix)
      expect(belowPrefix(prefix, withPrefix(prefix, key))).toBe(key)
    }
    expect(belowPrefix('a', 'ab/x')).toBeNull()
    expect(belowPrefix('a/b', 'a/x')).toBeNull()
  })

  test.each(['/', 'a/', '/a', 'a//b', '.', 'a/..', 'a b', 'ä', 'a\\b', 'x'.repeat(513)])(
    '%j is refused',
    (prefix) => {
      let code = ''
      try {
        parsePrefix(prefix)
      } catch (error) {
        code = hasCode(error, 'VALIDATION_FAILED') ? error.code : 'other'
      }
      expect(code).toBe('VALIDATION_FAILED')
    },
  )
})
