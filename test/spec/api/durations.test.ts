import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseDuration, showDuration } from '#shared/api/durations.ts'
import { DAY, HOUR, MINUTE, SECOND } from '#shared/units.ts'

const any = [0, 1e15] as const

test.each([
  ['90s', 90 * SECOND],
  ['15m', 15 * MINUTE],
  ['12h', 12 * HOUR],
  ['1d', DAY],
  ['4w', 28 * DAY],
  ['PT15M', 15 * MINUTE],
  ['P7D', 7 * DAY],
  ['P1W', 7 * DAY],
  ['P1DT2H3M4S', DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND],
  ['PT0S', 0],
  [3600, HOUR],
])('%s is %d ms', (text, span) => {
  expect(parseDuration(text, 'x', any)).toBe(span)
})

test.each(['', 'P', 'PT', 'P1DT', '1', 'h', '-1h', '1.5h', '1h30m', 'P1M', 'P1Y', ' 1h', 'PT1H '])(
  '"%s" is no duration',
  (text) => {
    expect(() => parseDuration(text, 'expires_in', any)).toThrow('expires_in')
  },
)

test('a span outside the bounds is refused with the bounds', () => {
  expect(() => parseDuration('59s', 'x', [MINUTE, DAY])).toThrow('between PT1M and P1D')
  expect(parseDuration('60s', 'x', [MINUTE, DAY])).toBe(MINUTE)
  expect(parseDuration('24h', 'x', [MINUTE, DAY])).toBe(DAY)
  expect(() => parseDuration('86401s', 'x', [MINUTE, DAY])).toThrow('x')
})

test('what is shown is read back as the same span', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000_000 }), (seconds) => {
      expect(parseDuration(showDuration(seconds * SECOND), 'x', any)).toBe(seconds * SECOND)
    }),
  )
})
