import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure } from '#shared/errors.ts'
import { concat, equalBytes, toBase64url } from '#shared/format/bytes.ts'
import { makeSigningKey } from '#shared/format/keys.ts'
import { packKey } from '#shared/format/layout.ts'
import type { FullLocator } from '#shared/format/locator.ts'
import { NO_INDEX, paddingFrame } from '#shared/format/padding.ts'
import { decodeErrorList, encodeErrorList, MAX_ERROR_LIST } from '#shared/format/record-errors.ts'
import { decodeRecord, encodeRecord, type RecordBody, verifyRecord } from '#shared/format/record.ts'
import { encodeSignedLines } from '#shared/format/signed-lines.ts'
import { encodeFrame, storeFrame } from '#shared/format/zstd.ts'
import { secretOf } from '../../support/age-material.ts'

const vault = '01939a2f-7c00-7abc-8def-0123456789ab'
const job = '01939a2f-7c00-7abc-8def-0123456789ac'
const backup = '01939a2f-7c00-7abc-8def-0123456789ad'
const hash = (name: string): string => toBase64url(secretOf(name))
const key = packKey(vault, 'tree', 1, '0f'.repeat(16))
const locator = (name: string): FullLocator => [
  1,
  0,
  90,
  0,
  100,
  hash(name),
  key,
  65_752,
  hash('o'),
  hash('h'),
]

const body: RecordBody = {
  format: 1,
  requires: [],
  vault,
  job,
  backup,
  sequence: 5,
  previous: hash('previous'),
  kept: [
    [1, 1],
    [3, 5],
  ],
  host: { hostname: 'web-1', os: 'Debian 12', kernel: '6.1.0', arch: 'x64', agent: '0.1.0' },
  sources: [{ type: 'files', paths: ['/etc'], exclude: ['*.tmp'] }],
  started: 1_770_091_506_789,
  completed: 1_770_091_600_000,
  counts: { files: 10, directories: 2, others: 1, changed: 3, unchanged: 10, skipped: 0 },
  bytes: { source: 2 ** 50, read: 4096, new: 2048, stored: 65_752 },
  errors: { count: 0, first: [] },
  fence: locator('fence'),
  packs: locator('packs'),
}

const agent = makeSigningKey(secretOf('agent'))
const other = makeSigningKey(secretOf('other'))
const chain = { vault, signers: [agent.publicKey] }

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'read'
  } catch (error) {
    if (error instanceof Failure) return error.code
    throw error
  }
}

/** A record around any line 1: signed as it should be, so that only the reader of the body stands against it. */
const recordOf = (line: string): Uint8Array => {
  const frame = encodeFrame(encodeSignedLines('holdfast/record/v1', line, agent.sign), { level: 3 })
  return concat([frame, paddingFrame(frame.length, NO_INDEX)])
}
const changed = (change: Record<string, unknown>): string =>
  codeOf(() => decodeRecord(recordOf(JSON.stringify({ ...body, ...change }))))

describe('a backup record', () => {
  test('reads as it was written, in 64 KiB', () => {
    const plaintext = encodeRecord(body, agent.sign)
    const record = decodeRecord(plaintext)
    expect(plaintext.length).toBe(65_536)
    expect(record.body).toEqual(body)
    expect(verifyRecord(record, chain, backup)).toBe(0)
  })

  test('is verified by the number of the key that signed it, and by no other key, vault or backup', () => {
    const record = decodeRecord(encodeRecord(body, agent.sign))
    expect(verifyRecord(record, { vault, signers: [agent.publicKey, other.publicKey] })).toBe(0)
    expect(verifyRecord(record, { vault, signers: [other.publicKey, agent.publicKey] })).toBe(1)
    expect(codeOf(() => verifyRecord(record, { vault, signers: [other.publicKey] }))).toBe(
      'DAMAGED',
    )
    expect(codeOf(() => verifyRecord(record, { ...chain, vault: job }))).toBe('DAMAGED')
    expect(codeOf(() => verifyRecord(record, chain, job))).toBe('DAMAGED')
  })

  test('signed as a genesis or another kind of file is not verified', () => {
    const forged = encodeSignedLines('holdfast/genesis/v1', JSON.stringify(body), agent.sign)
    const frame = storeFrame(forged)
    const record = decodeRecord(concat([frame, paddingFrame(frame.length, NO_INDEX)]))
    expect(codeOf(() => verifyRecord(record, chain))).toBe('DAMAGED')
  })

  test('with any byte of its lines changed is refused or not verified', () => {
    const lines = encodeSignedLines('holdfast/record/v1', JSON.stringify(body), agent.sign)
    for (let at = 0; at < lines.length; at += 1) {
      const bad = Uint8Array.from(lines)
      bad[at] = (bad[at] ?? 0) ^ 1
      const frame = storeFrame(bad)
      const plaintext = concat([frame, paddingFrame(frame.length, NO_INDEX)])
      expect([at, codeOf(() => verifyRecord(decodeRecord(plaintext), chain))]).not.toEqual([
        at,
        'read',
      ])
    }
  })

  test('is refused when cut, or with other padding', () => {
    const plaintext = encodeRecord(body, agent.sign)
    for (const length of [0, 4, 100, 1000, 65_520, 65_535]) {
      expect([length, codeOf(() => decodeRecord(plaintext.subarray(0, length)))]).toEqual([
        length,
        'DAMAGED',
      ])
    }
    for (const at of [30_000, 65_519, 65_520, 65_535]) {
      const bad = Uint8Array.from(plaintext)
      bad[at] = (bad[at] ?? 0) ^ 1
      expect([at, codeOf(() => decodeRecord(bad))]).toEqual([at, 'DAMAGED'])
    }
    expect(codeOf(() => decodeRecord(concat([plaintext, plaintext])))).toBe('DAMAGED')
  })

  test('of a newer format or with a feature that is not known is unsupported, whatever else it holds', () => {
    const line = (text: string): string => codeOf(() => decodeRecord(recordOf(text)))
    expect(line('{"format":2,"requires":[]}')).toBe('UNSUPPORTED')
    expect(line('{"format":1,"requires":["holes"],"vault":7}')).toBe('UNSUPPORTED')
    expect(line('{"format":1}')).toBe('DAMAGED')
    expect(line('[]')).toBe('DAMAGED')
    expect(line('{"format":1,"requires":[]')).toBe('DAMAGED')
    expect(changed({ later: { any: 'thing' }, host: { ...body.host, later: 1 } })).toBe('read')
  })

  test.each([
    ['vault', { vault: 'x' }],
    ['job', { job: null }],
    ['a sequence of 0', { sequence: 0 }],
    ['a sequence beyond 2^53', { sequence: 2 ** 60 }],
    ['previous that is not canonical', { previous: `${hash('x').slice(0, 42)}B` }],
    ['previous that is missing', { previous: undefined }],
    [
      'kept out of order',
      {
        kept: [
          [3, 4],
          [1, 2],
        ],
      },
    ],
    [
      'kept that overlaps',
      {
        kept: [
          [1, 2],
          [2, 3],
        ],
      },
    ],
    ['kept upside down', { kept: [[2, 1]] }],
    ['kept beyond itself', { kept: [[1, 6]] }],
    ['kept of three', { kept: [[1, 2, 3]] }],
    ['a host without name', { host: { os: '', kernel: '', arch: '', agent: '' } }],
    ['sources without type', { sources: [{}] }],
    ['a time with a fraction', { started: 1.5 }],
    ['a negative count', { counts: { ...body.counts, files: -1 } }],
    ['bytes as text', { bytes: { ...body.bytes, read: '1' } }],
    [
      'more errors than it counts',
      { errors: { count: 0, first: [{ path: '/a', code: 'X', problem: '' }] } },
    ],
    ['an error without path', { errors: { count: 1, first: [{ code: 'X', problem: '' }] } }],
    [
      'an error with text and twin',
      { errors: { count: 1, first: [{ path: '/a', pb: 'L/8=', code: 'X', problem: '' }] } },
    ],
    ['a bad list of errors', { errors: { count: 0, first: [], all: [1] } }],
    ['no fence', { fence: null }],
    ['a bare locator as root', { packs: body.packs.slice(0, 6) }],
  ])('with %s is refused', (_, change) => {
    expect(changed(change)).toBe('DAMAGED')
  })

  test('keeps the paths of errors byte for byte, text or not', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 30 }), { maxLength: 20 }),
        (paths) => {
          const first = paths.map((path) => ({
            path: Buffer.from(path).toString('latin1'),
            code: 'SOURCE_UNREADABLE',
            problem: 'EIO',
          }))
          const errors = { count: first.length, first }
          const record = decodeRecord(encodeRecord({ ...body, errors }, agent.sign))
          expect(record.body.errors).toEqual(errors)
          expect(decodeErrorList(encodeErrorList(first))).toEqual(first)
        },
      ),
      { numRuns: 30 },
    )
  })

  test('holds as many of its errors as fit, in order, and stays in 64 KiB', () => {
    const first = Array.from({ length: 5000 }, (_, i) => ({
      path: `/srv/\xff/${toBase64url(secretOf(String(i)))}`,
      code: 'SOURCE_UNREADABLE',
      problem: 'EACCES: permission denied',
    }))
    const errors = { count: 9000, first, all: locator('all') }
    const plaintext = encodeRecord({ ...body, errors }, agent.sign)
    const read = decodeRecord(plaintext).body.errors
    expect(plaintext.length).toBe(65_536)
    expect(read.count).toBe(9000)
    expect(read.all).toEqual(errors.all)
    expect(read.first.length).toBeGreaterThan(300)
    expect(read.first).toEqual(first.slice(0, read.first.length))
  })

  test('whose sources alone are too long says so', () => {
    const paths = Array.from({ length: 2000 }, (_, i) => `/srv/${toBase64url(secretOf(String(i)))}`)
    const long = { ...body, sources: [{ type: 'files', paths }] }
    expect(codeOf(() => encodeRecord(long, agent.sign))).toBe('LIMIT_EXCEEDED')
  })
})

describe('a list of errors', () => {
  const error = { path: '/a', code: 'X', problem: 'p'.repeat(1000) }

  test('stays within 1 MiB', () => {
    const list = encodeErrorList(Array.from({ length: 3000 }, () => error))
    expect(list.length).toBeLessThanOrEqual(MAX_ERROR_LIST)
    expect(list.length).toBeGreaterThan(MAX_ERROR_LIST - 2000)
    expect(decodeErrorList(list).length).toBeGreaterThan(1000)
  })

  test('is refused without its first line, its last line feed, or with a line that is no error', () => {
    const list = encodeErrorList([error])
    expect(equalBytes(encodeErrorList(decodeErrorList(list)), list)).toBe(true)
    for (const bad of [
      list.subarray(1),
      list.subarray(0, -1),
      concat([list, Buffer.from('\n')]),
      concat([list, Buffer.from('{}\n')]),
    ]) {
      expect(codeOf(() => decodeErrorList(bad))).toBe('DAMAGED')
    }
  })
})
