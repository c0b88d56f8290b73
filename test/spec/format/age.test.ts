import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  createSealer,
  encodePreamble,
  open,
  openHeader,
  openPreamble,
  openSegments,
  parseHeader,
  payloadKey,
  plainSize,
  preambleLength,
  SEALED_SEGMENT,
  sealedSize,
  sealPayload,
  SEGMENT,
  segmentRange,
} from '#shared/format/age.ts'
import { concat, equalBytes } from '#shared/format/bytes.ts'
import { formatRecipient, type Recipient } from '#shared/format/keys.ts'
import { hasCode } from '#shared/errors.ts'
import { identityOf, plainOf, sealedFor, sealFor, secretOf } from '../../support/age-material.ts'

const content = identityOf('content')
const recovery = identityOf('recovery')
const list = identityOf('list')
const all = [content, recovery, list]
const BORDERS = [
  0,
  1,
  2,
  15,
  16,
  17,
  SEGMENT - 1,
  SEGMENT,
  SEGMENT + 1,
  2 * SEGMENT - 1,
  2 * SEGMENT,
  2 * SEGMENT + 1,
]

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    if (hasCode(error, 'DAMAGED') || hasCode(error, 'WRONG_KEY')) return error.code
    throw error
  }
  return 'opened'
}

describe('a sealed object', () => {
  test.each(BORDERS)('of %i bytes opens to what was sealed, for each of its recipients', (size) => {
    const plaintext = plainOf(size)
    const object = sealedFor(all, plaintext)
    for (const identity of all) {
      expect(equalBytes(open(object, [identity]), plaintext)).toBe(true)
    }
    const preamble = preambleLength(object)
    expect(object.length).toBe(sealedSize(size, preamble))
    expect(plainSize(object.length, preamble)).toBe(size)
  })

  test('of any size opens to what was sealed', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3 * SEGMENT }),
        fc.integer({ min: 1, max: 3 }),
        (size, who) => {
          const plaintext = plainOf(size)
          const object = sealedFor(all.slice(0, who), plaintext)
          return equalBytes(open(object, all), plaintext)
        },
      ),
      { numRuns: 40 },
    )
  })

  test('is not opened by anybody else', () => {
    const object = sealedFor([content, recovery], plainOf(100))
    expect(codeOf(() => open(object, [list]))).toBe('WRONG_KEY')
    expect(codeOf(() => open(object, []))).toBe('WRONG_KEY')
  })

  test('is refused with any single bit flipped, wherever it is', () => {
    const object = sealedFor([content, recovery], plainOf(40))
    for (let bit = 0; bit < object.length * 8; bit += 1) {
      const bad = Uint8Array.from(object)
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect([bit, codeOf(() => open(bad, [content]))]).not.toEqual([bit, 'opened'])
    }
  })

  test('of several segments is refused with any bit of its payload flipped', () => {
    const object = sealedFor([content], plainOf(2 * SEGMENT + 5))
    const preamble = preambleLength(object)
    fc.assert(
      fc.property(fc.integer({ min: preamble * 8, max: object.length * 8 - 1 }), (bit) => {
        const bad = Uint8Array.from(object)
        bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        return codeOf(() => open(bad, [content])) === 'DAMAGED'
      }),
      { numRuns: 60 },
    )
  })

  test('is refused when cut at any length, and with anything after it', () => {
    const short = sealedFor([content], plainOf(50))
    for (let length = 0; length < short.length; length += 1) {
      expect([length, codeOf(() => open(short.subarray(0, length), [content]))]).toEqual([
        length,
        'DAMAGED',
      ])
    }
    const long = sealedFor([content], plainOf(2 * SEGMENT + 50))
    const preamble = preambleLength(long)
    const cuts = [1, 2].flatMap((n) => {
      const border = preamble + n * SEALED_SEGMENT
      return [
        border - 17,
        border - 16,
        border - 1,
        border,
        border + 1,
        border + 15,
        border + 16,
        border + 17,
      ]
    })
    for (const length of [...cuts, long.length - 1]) {
      expect([length, codeOf(() => open(long.subarray(0, length), [content]))]).toEqual([
        length,
        'DAMAGED',
      ])
    }
    for (const extra of [1, 16, 17, SEALED_SEGMENT]) {
      expect(codeOf(() => open(concat([short, new Uint8Array(extra)]), [content]))).toBe('DAMAGED')
      expect(codeOf(() => open(concat([long, new Uint8Array(extra)]), [content]))).toBe('DAMAGED')
    }
  })

  test('is refused when two of its segments change places', () => {
    const object = sealedFor([content], plainOf(3 * SEGMENT))
    const at = preambleLength(object)
    const part = (n: number): Uint8Array =>
      object.subarray(at + n * SEALED_SEGMENT, at + (n + 1) * SEALED_SEGMENT)
    const swapped = concat([object.subarray(0, at), part(1), part(0), part(2)])
    expect(codeOf(() => open(swapped, [content]))).toBe('DAMAGED')
  })
})

describe('a payload', () => {
  const key = secretOf('payload')

  test('that is not empty must not end in an empty segment', () => {
    const full = sealPayload(key, plainOf(SEGMENT))
    const first = openSegments(key, full, 0, true)
    expect(first.length).toBe(SEGMENT)
    // Segment 0 as one that is not the last, then an empty last one: both tags match, the form is refused.
    const [notLast = full] = createSealer(key).push(plainOf(SEGMENT + 1))
    const nonce = Buffer.from('000000000000000000000101', 'hex')
    const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 })
    cipher.final()
    const last = cipher.getAuthTag()
    expect(openSegments(key, notLast, 0, false).length).toBe(SEGMENT)
    expect(codeOf(() => openSegments(key, concat([notLast, last]), 0, true))).toBe('DAMAGED')
    expect(codeOf(() => openSegments(key, last, 1, true))).toBe('DAMAGED')
    const empty = sealPayload(key, new Uint8Array())
    expect(openSegments(key, empty, 0, true).length).toBe(0)
  })

  test.each(BORDERS)(
    'sealed as a stream of %i bytes in any slices is the same as sealed whole',
    (size) => {
      const plaintext = plainOf(size)
      const whole = sealPayload(key, plaintext)
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 0, max: size }), { maxLength: 5 }), (cuts) => {
          const places = [0, ...cuts.toSorted((a, b) => a - b), size]
          const sealer = createSealer(key)
          const parts = places
            .slice(1)
            .flatMap((end, i) => sealer.push(plaintext.subarray(places[i], end)))
          return equalBytes(concat([...parts, ...sealer.end()]), whole)
        }),
        { numRuns: 12 },
      )
    },
  )

  test('is read by range exactly as whole', () => {
    const size = 4 * SEGMENT + 777
    const plaintext = plainOf(size)
    const object = sealedFor([content], plaintext)
    const { key: payload, length } = openPreamble(object, [content])
    const place = fc.oneof(
      fc.integer({ min: 0, max: size }),
      fc.constantFrom(0, SEGMENT - 1, SEGMENT, SEGMENT + 1, 4 * SEGMENT, size - 1, size),
    )
    fc.assert(
      fc.property(place, place, (a, b) => {
        const wanted = { start: Math.min(a, b), end: Math.max(a, b) }
        const range = segmentRange(wanted, length, object.length)
        const sealed = object.subarray(range.start, range.end)
        const opened = openSegments(payload, sealed, range.firstSegment, range.isLast)
        const part = opened.subarray(range.skip, range.skip + wanted.end - wanted.start)
        return equalBytes(part, plaintext.subarray(wanted.start, wanted.end))
      }),
      { numRuns: 80 },
    )
  })

  test('does not open under the number of another segment, or with the wrong word about its end', () => {
    const sealed = sealPayload(key, plainOf(2 * SEGMENT))
    const first = sealed.subarray(0, SEALED_SEGMENT)
    const second = sealed.subarray(SEALED_SEGMENT)
    expect(openSegments(key, first, 0, false).length).toBe(SEGMENT)
    expect(openSegments(key, second, 1, true).length).toBe(SEGMENT)
    expect(codeOf(() => openSegments(key, first, 0, true))).toBe('DAMAGED')
    expect(codeOf(() => openSegments(key, second, 1, false))).toBe('DAMAGED')
    expect(codeOf(() => openSegments(key, first, 1, false))).toBe('DAMAGED')
    expect(codeOf(() => openSegments(key, second, 0, true))).toBe('DAMAGED')
    expect(codeOf(() => openSegments(key, first.subarray(1), 0, false))).toBe('DAMAGED')
  })

  test('has no range outside its plaintext, and no size that no plaintext has', () => {
    const object = sealedFor([content], plainOf(100))
    const length = preambleLength(object)
    expect(codeOf(() => segmentRange({ start: 0, end: 101 }, length, object.length))).toBe(
      'DAMAGED',
    )
    expect(codeOf(() => segmentRange({ start: 51, end: 50 }, length, object.length))).toBe(
      'DAMAGED',
    )
    expect(codeOf(() => segmentRange({ start: -1, end: 50 }, length, object.length))).toBe(
      'DAMAGED',
    )
    for (const size of [0, 15, SEALED_SEGMENT + 1, SEALED_SEGMENT + 16]) {
      expect([size, codeOf(() => plainSize(length + size, length))]).toEqual([size, 'DAMAGED'])
    }
  })
})

describe('a header', () => {
  const parts = sealFor([content], 'header')
  const good = Buffer.from(encodePreamble(parts)).toString('latin1')
  const read = (text: string): string =>
    codeOf(() => openHeader(Buffer.from(text, 'latin1'), [content]))

  test('gives the file key, and with the nonce the payload key', () => {
    const bytes = encodePreamble(parts)
    expect(equalBytes(openHeader(bytes, [list, content]), parts.fileKey)).toBe(true)
    expect(
      equalBytes(openPreamble(bytes, [content]).key, payloadKey(parts.fileKey, parts.nonce)),
    ).toBe(true)
    expect(parseHeader(bytes).headerLength + 16).toBe(bytes.length)
  })

  test('is refused with other line ends, spaces, versions or padding', () => {
    expect(read(good)).toBe('opened')
    expect(read(good.replace('\n', '\r\n'))).toBe('DAMAGED')
    expect(read(good.replace('v1\n', 'v2\n'))).toBe('DAMAGED')
    expect(read(good.replace('-> X25519 ', '->  X25519 '))).toBe('DAMAGED')
    expect(read(good.replace('--- ', '---  '))).toBe('DAMAGED')
    expect(read(good.replace('\n---', '=\n---'))).toBe('DAMAGED')
    expect(read(` ${good}`)).toBe('DAMAGED')
    expect(read('age-encryption.org/v1\n--- ')).toBe('DAMAGED')
  })

  test('with recipients of kinds that are not known is read past them, but its MAC covers them', () => {
    const grease = good.replace('-> X25519', '-> grease-x a b c\nAAAA\n-> X25519')
    expect(parseHeader(Buffer.from(grease, 'latin1')).stanzas.map((s) => s.type)).toEqual([
      'grease-x',
      'X25519',
    ])
    expect(read(grease)).toBe('DAMAGED')
  })

  test('without a stanza, or that goes on beyond 64 KiB, is refused', () => {
    const mac = `--- ${'A'.repeat(43)}\n`
    const stanzas = (count: number): Buffer =>
      Buffer.from(`age-encryption.org/v1\n${'-> x y\n\n'.repeat(count)}${mac}`)
    expect(parseHeader(stanzas(8000)).stanzas.length).toBe(8000)
    expect(codeOf(() => parseHeader(stanzas(9000)))).toBe('DAMAGED')
    expect(codeOf(() => parseHeader(stanzas(0)))).toBe('DAMAGED')
    const endless = `age-encryption.org/v1\n${'-> x y\n\n'.repeat(20_000)}`
    expect(read(endless)).toBe('DAMAGED')
    expect(read(`age-encryption.org/v1\n-> ${'x'.repeat(200_000)}`)).toBe('DAMAGED')
  })

  test('is never made without recipients, with too few ephemeral secrets, or for a point of low order', () => {
    expect(() => encodePreamble({ ...parts, recipients: [], ephemerals: [] })).toThrow(RangeError)
    expect(() => encodePreamble({ ...parts, ephemerals: [] })).toThrow(RangeError)
    expect(() => encodePreamble({ ...parts, fileKey: new Uint8Array(15) })).toThrow(RangeError)
    const lowOrder: Recipient = formatRecipient(new Uint8Array(32))
    expect(() => encodePreamble({ ...parts, recipients: [lowOrder] })).toThrow(/low order/)
  })

  test('read from any bytes is refused, never anything else', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        (bytes) => codeOf(() => open(bytes, [content])) === 'DAMAGED',
      ),
    )
    const text = fc.stringMatching(
      /^(-> [!-~ ]{0,20}|[A-Za-z0-9+/]{0,70}|---( [A-Za-z0-9+/]{0,43})?)$/,
    )
    fc.assert(
      fc.property(fc.array(text, { maxLength: 6 }), (lines) => {
        const bytes = Buffer.from(`age-encryption.org/v1\n${lines.join('\n')}\n`)
        return codeOf(() => open(bytes, [content])) !== 'opened'
      }),
    )
  })
})
