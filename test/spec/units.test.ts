import { describe, expect, test } from 'vitest'
import {
  formatBytes,
  formatCount,
  formatSpan,
  parseSize,
  GiB,
  KiB,
  MiB,
  MINUTE,
  SECOND,
} from '#shared/units.ts'

describe('sizes, spans and counts read well', () => {
  test('bytes take the largest unit that leaves at least one', () => {
    expect([0, 999, 1023, KiB, 1536, MiB - 1, 12.3 * GiB].map(formatBytes)).toEqual([
      '0 B',
      '999 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '1.0 MiB',
      '12.3 GiB',
    ])
  })

  test('spans name at most two units', () => {
    expect([400, 9_960, 12 * SECOND, 185 * SECOND, 127 * MINUTE].map(formatSpan)).toEqual([
      '0.4 s',
      '10.0 s',
      '12 s',
      '3 min 05 s',
      '2 h 07 min',
    ])
  })

  test('counts are grouped by thousands', () => {
    expect([0, 999, 1000, 106_624, 1_000_000].map(formatCount)).toEqual([
      '0',
      '999',
      '1,000',
      '106,624',
      '1,000,000',
    ])
  })
})

test.each([
  ['1', 1],
  ['500', 500],
  ['20MiB', 20 * 1024 ** 2],
  ['1.5 GB', 1.5 * 1024 ** 3],
  ['2k', 2048],
  ['3t', 3 * 1024 ** 4],
  ['0', null],
  ['', null],
  ['-1', null],
  ['ten', null],
  ['1 parsec', null],
  ['9999999P', null],
])('the size %j is %s bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})
