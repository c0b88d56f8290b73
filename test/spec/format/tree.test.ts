import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure, hasCode } from '#shared/errors.ts'
import { encodeEntry, type Entry, MAX_LINE } from '#shared/format/tree.ts'
import { decodeEntry } from '#shared/format/tree-decode.ts'
import { isName } from '#shared/format/tree-order.ts'
import { fileOf, isDamaged, locatorOf } from '../../support/format-material.ts'

const bytes = (maxLength: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength }).map((raw) => Buffer.from(raw).toString('latin1')),
    fc
      .string({ unit: 'grapheme', minLength: 1, maxLength })
      .map((s) => Buffer.from(s).toString('latin1')),
  )
const name = bytes(40)
  .map((raw) => raw.replace(/[\0/]/g, '_'))
  .filter(isName)
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
const id = fc.nat({ max: 2 ** 32 - 1 })
const common = fc.record(
  {
    mode: fc.nat({ max: 0o7777 }),
    uid: id,
    gid: id,
    mtime: fc.bigInt({ min: -(10n ** 29n), max: 10n ** 29n }),
    user: text,
    group: text,
    hardlink: text,
    xattrs: fc
      .uniqueArray(
        fc.tuple(
          bytes(10).map((raw) => raw.replaceAll('\0', '_')),
          fc.oneof(bytes(30), fc.constant('')),
        ),
        {
          selector: ([key]) => key,
          minLength: 1,
          maxLength: 4,
        },
      )
      .map((list) => list.toSorted(([a], [b]) => (a < b ? -1 : 1))),
    acl: fc.record({ access: text, default: text }, { requiredKeys: ['access'] }),
  },
  { requiredKeys: ['mode', 'uid', 'gid', 'mtime'] },
)
const file = fc
  .tuple(
    fc.array(fc.integer({ min: 1, max: 2 ** 40 }), { maxLength: 6 }),
    fc.array(fc.integer({ min: 1, max: 2 ** 22 }), { maxLength: 64 }),
    fc.boolean(),
  )
  .map(([gaps, lengths, listed]) => {
    let size = lengths.reduce((sum, length) => sum + length, 0)
    const holes: [number, number][] = []
    for (const [i, gap] of gaps.entries()) {
      holes.push([size + i, gap])
      size += gap
    }
    // Holes follow the content with a byte of it between two of them, as far as there are bytes.
    const content = lengths.map((length, i) => locatorOf(i, length))
    const extra = holes.length
    if (extra > 0) content.push(...holes.map((_, i) => locatorOf(100 + i, 1)))
    if (listed || content.length > 64) {
      return { type: 'file' as const, size: size + extra, holes, more: [locatorOf(7)] }
    }
    return { type: 'file' as const, size: size + extra, holes, content }
  })
const special = fc.oneof(
  fc.constant({ type: 'directory' as const }),
  fc.constant({ type: 'fifo' as const }),
  fc.constant({ type: 'socket' as const, skipped: 'socket' }),
  fc.tuple(id, id).map((device) => ({ type: 'char' as const, device })),
  fc.tuple(id, id).map((device) => ({ type: 'block' as const, device })),
  bytes(60).map((raw) => ({ type: 'symlink' as const, target: raw.replaceAll('\0', '_') })),
)

/** Without the fields that are empty, as a line has them. */
const normal = (entry: Entry): Entry =>
  Object.fromEntries(
    Object.entries(entry).filter(([, value]) => !(Array.isArray(value) && value.length === 0)),
  ) as Entry
const entry: fc.Arbitrary<Entry> = fc
  .tuple(common, fc.oneof(file, special))
  .map(([a, b]) => normal({ ...a, ...b }))

describe('a line of the tree', () => {
  test('gives back every entry that can be, names that are not UTF-8 and newlines included', () => {
    fc.assert(
      fc.property(name, entry, (n, e) => {
        const line = encodeEntry(n, e)
        expect(line).not.toContain('\n')
        const decoded = decodeEntry(line)
        expect(decoded).toEqual({ name: n, entry: e })
        expect(encodeEntry(decoded.name, decoded.entry)).toBe(line)
        // The line is JSON as any program writes it.
        expect(JSON.stringify(JSON.parse(line))).toBe(line)
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['plain.txt', '{"n":"plain.txt",'],
    ['a"b\\c\n', '{"n":"a\\"b\\\\c\\n",'],
    ['gr\xc3\xbc\xc3\x9fe', '{"n":"grüße",'],
    ['gr\xfc\xdfe', '{"nb":"Z3L832U=",'],
    ['\xed\xa0\x80', '{"nb":"7aCA",'],
    ['\xef\xbb\xbfbom', '{"n":"\ufeffbom",'],
  ])('of %j begins with %s', (n, start) => {
    const line = encodeEntry(n, fileOf(1))
    expect(line.startsWith(start)).toBe(true)
    expect(decodeEntry(line).name).toBe(n)
  })

  test('may have 64 KiB and not one byte more', () => {
    const of = (length: number): string =>
      encodeEntry('x', { ...fileOf(1), xattrs: [['user.big', 'v'.repeat(length)]] })
    const most = MAX_LINE - of(0).length
    expect(of(most).length).toBe(MAX_LINE)
    expect(decodeEntry(of(most)).entry.xattrs?.[0]?.[1].length).toBe(most)
    let code = ''
    try {
      of(most + 1)
    } catch (error) {
      if (hasCode(error, 'LIMIT_EXCEEDED')) code = error.code
    }
    expect(code).toBe('LIMIT_EXCEEDED')
    expect(isDamaged(() => decodeEntry(`{"n":"${'é'.repeat(33_000)}"}`))).toBe(true)
  })

  const base: Entry = { type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime: 0n }
  test.each<[string, Entry]>([
    ['a mode beyond the permission bits', { ...base, mode: 0o40755 }],
    ['a directory with a size', { ...base, size: 4096 }],
    ['a directory with a target', { ...base, target: 'x' }],
    ['a link without target', { ...base, type: 'symlink' }],
    ['a link with an empty target', { ...base, type: 'symlink', target: '' }],
    ['a device without numbers', { ...base, type: 'char' }],
    ['a file without size', { ...base, type: 'file' }],
    ['a file of 2^53 bytes', { ...base, type: 'file', size: 2 ** 53, holes: [[0, 2 ** 53]] }],
    ['a file whose content is short', { ...fileOf(1), size: 2 }],
    ['a file with content and content lists', { ...fileOf(1), more: [locatorOf(1)] }],
    ['over 64 locators', fileOf(1, 65)],
    ['an owner beyond 32 bits', { ...base, uid: 2 ** 32 }],
  ])('is not written for %s', (_, e) => {
    expect(() => encodeEntry('x', e)).toThrow(RangeError)
  })

  test.each(['', '.', '..', 'a/b', 'a\0b'])('is not written for the name %j', (n) => {
    expect(() => encodeEntry(n, fileOf(1))).toThrow(RangeError)
  })

  test('keeps a skipped file whose content is not here', () => {
    const skipped: Entry = { ...base, type: 'file', size: 12, skipped: 'unreadable' }
    expect(decodeEntry(encodeEntry('x', skipped)).entry).toEqual(skipped)
  })

  const good = encodeEntry('x', fileOf(1))
  const change = (fields: Readonly<Record<string, unknown>>): string =>
    JSON.stringify({ ...(JSON.parse(good) as object), ...fields })
  test.each<[string, Readonly<Record<string, unknown>>]>([
    ['no name', { n: undefined }],
    ['the name "."', { n: '.' }],
    ['the name ".."', { n: '..' }],
    ['an empty name', { n: '' }],
    ['a slash in the name', { n: 'a/b' }],
    ['a NUL in the name', { n: 'a\0' }],
    ['half a surrogate in the name', { n: '\ud800' }],
    ['a number as name', { n: 1 }],
    ['both name and twin', { nb: '/w==' }],
    ['a twin that is valid UTF-8', { n: undefined, nb: 'eA==' }],
    ['a twin without padding', { n: undefined, nb: '/w' }],
    ['a twin with loose bits', { n: undefined, nb: '/x==' }],
    ['an unknown type', { k: 'x' }],
    ['no type', { k: undefined }],
    ['a mode beyond the bits', { m: 0o10000 }],
    ['a negative owner', { u: -1 }],
    ['a fractional owner', { u: 0.5 }],
    ['an owner beyond 32 bits', { g: 2 ** 32 }],
    ['an empty user', { un: '' }],
    ['a user that is a list', { un: ['root'] }],
    ['a size that is text', { s: '1001' }],
    ['a size beyond 2^53', { s: 2 ** 53 }],
    ['no size', { s: undefined }],
    ['another size than its content', { s: 1000 }],
    ['no time', { mt: undefined }],
    ['a time that is a number', { mt: 5 }],
    ['a time with a leading zero', { mt: '05' }],
    ['a time of minus zero', { mt: '-0' }],
    ['a time with a plus', { mt: '+5' }],
    ['a time with a fraction', { mt: '5.0' }],
    ['an endless time', { mt: '1'.repeat(31) }],
    ['a target', { t: 'x' }],
    ['device numbers', { d: [1, 2] }],
    ['empty content', { c: [] }],
    ['content that is null', { c: null }],
    ['content lists besides', { more: [locatorOf(1)] }],
    ['a short locator', { c: [locatorOf(1).slice(0, 5)] }],
    ['a locator of pack 0', { c: [[0, ...locatorOf(1).slice(1)]] }],
    ['a locator beyond its frame', { c: [locatorOf(1).with(3, 4 * 1024 * 1024 - 1000)] }],
    ['a locator of no bytes', { c: [locatorOf(1).with(4, 0)] }],
    ['a locator with a longer id', { c: [locatorOf(1).with(5, 'A'.repeat(44))] }],
    ['a locator with loose bits in its id', { c: [locatorOf(1).with(5, `${'A'.repeat(42)}B`)] }],
    ['a hole beyond the end', { ho: [[1000, 2]] }],
    ['a hole of no bytes', { ho: [[5, 0]] }],
    [
      'holes out of order',
      {
        s: 1011,
        ho: [
          [500, 5],
          [100, 5],
        ],
      },
    ],
    [
      'holes that touch',
      {
        s: 1011,
        ho: [
          [100, 5],
          [105, 5],
        ],
      },
    ],
    [
      'attributes out of order',
      {
        x: [
          { n: 'b', v: '' },
          { n: 'a', v: '' },
        ],
      },
    ],
    [
      'an attribute twice',
      {
        x: [
          { n: 'a', v: '' },
          { n: 'a', v: '' },
        ],
      },
    ],
    ['an attribute without value', { x: [{ n: 'a' }] }],
    ['no attributes in a list', { x: [] }],
    ['an access list that is a number', { a: 5 }],
  ])('is refused with %s', (_, fields) => {
    expect(decodeEntry(good).name).toBe('x')
    expect(isDamaged(() => decodeEntry(change(fields)))).toBe(true)
  })

  test.each(['', '{', '[]', 'null', '1', '"x"', `${good} {`, '['.repeat(60_000)])(
    'is refused when it is %j',
    (line) => {
      expect(isDamaged(() => decodeEntry(line))).toBe(true)
    },
  )

  test('with fields that are unknown is read without them', () => {
    expect(decodeEntry(change({ zz: { deep: [1] }, __proto__: null }))).toEqual(decodeEntry(good))
  })

  test('made of anything at all is refused or read, and never fails otherwise', () => {
    const fields = fc.dictionary(
      fc.constantFrom(...'n nb k m u g un s mt t tb d x a da h ho c more skip dir'.split(' ')),
      fc.oneof(fc.jsonValue(), fc.constantFrom('f', 'd', 'l', '0', 1, [[0, 1]])),
    )
    fc.assert(
      fc.property(fields, (value) => {
        try {
          decodeEntry(change(value))
        } catch (error) {
          expect(error).toBeInstanceOf(Failure)
        }
      }),
      { numRuns: 500 },
    )
  })
})
