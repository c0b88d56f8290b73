import { describe, expect, test } from 'vitest'
import { parsePlace, touches } from '#server/core/places.ts'

describe('a place', () => {
  test('is an absolute path without double and last slashes', () => {
    expect(parsePlace('//srv//restore/', 'target_path')).toBe('/srv/restore')
    expect(parsePlace('/', 'target_path')).toBe('/')
  })

  test('goes nowhere but down', () => {
    for (const text of ['srv', '/srv/../etc', '/./srv', '/srv/..', '/a\0b', ''])
      expect(() => parsePlace(text, 'target_path')).toThrow('target_path')
  })
})

describe('places touch', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['/srv', '/srv', true],
    ['/srv', '/srv/a/b', true],
    ['/srv/a', '/srv', true],
    ['/', '/etc', true],
    ['/srv', '/srv2', false],
    ['/srv/a', '/srv/b', false],
  ]
  test.each(cases)('%s and %s: %s', (a, b, expected) => {
    expect(touches([a], [b])).toBe(expected)
    expect(touches(['/elsewhere', a], ['/nowhere', b])).toBe(expected)
  })

  test('not where one of them is none', () => {
    expect(touches([], ['/'])).toBe(false)
  })
})
