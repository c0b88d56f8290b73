import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseGlob } from '#shared/read/glob.ts'

const matches = (pattern: string, path: string): boolean => parseGlob(pattern).matches(path)

describe('a glob', () => {
  test.each([
    ['/srv/*.log', ['/srv/a.log', '/srv/.log'], ['/srv/a/b.log', '/srv/alog', '/a/srv/a.log']],
    ['/srv/**/x', ['/srv/x', '/srv/a/x', '/srv/a/b/x'], ['/srv/ax', '/srv/x/y', '/x']],
    ['/srv/**', ['/srv/a', '/srv/a/b'], ['/srv', '/srva']],
    ['/srv/**.log', ['/srv/a.log', '/srv/a/b.log', '/srv/.log'], ['/srv/a.logs']],
    ['/**/cache/*', ['/cache/a', '/a/cache/b'], ['/cache', '/acache/b', '/cache/a/b']],
    ['/a?c', ['/abc', '/a\xffc'], ['/ac', '/a/c', '/abbc']],
    ['/[a-c]x', ['/ax', '/cx'], ['/dx', '/x', '//x']],
    ['/[!a-c]x', ['/dx', '/-x'], ['/ax', '//x']],
    ['/[^/]x', ['/ax'], ['//x']],
    ['/[]]', ['/]'], ['/a']],
    ['/[a-]', ['/a', '/-'], ['/b']],
    ['/[ab', ['/[ab'], ['/a']],
    ['/\\*\\?', ['/*?'], ['/ab', '/\\*\\?']],
    ['/home/*/', ['/home/a'], ['/home/a/b', '/home']],
    ['//srv//*', ['/srv/a'], ['/srv']],
    ['*.log', ['/a.log', '/a/b/c.log'], ['/a.log/b']],
    ['a/b', ['/a/b', '/x/a/b'], ['/xa/b', '/a/b/c']],
    ['/etc/hosts', ['/etc/hosts'], ['/etc/hosts.allow', '/etc']],
    ['/', [], ['/a']],
    ['**', ['/a', '/a/b'], []],
  ])('%s', (pattern, yes, no) => {
    expect(yes.filter((path) => !matches(pattern, path))).toEqual([])
    expect(no.filter((path) => matches(pattern, path))).toEqual([])
  })

  test.each([
    ['/srv/app/*.log', '/srv/app'],
    ['/srv/app*/x', '/srv'],
    ['/*', '/'],
    ['**/x', '/'],
    ['*.log', '/'],
    ['/srv/a\\*/b?', '/srv/a*'],
    ['/etc/hosts', '/etc'],
  ])('%s is looked for in %s', (pattern, top) => {
    expect(parseGlob(pattern).top).toBe(top)
  })

  test('of nothing, or of far too much, is refused', () => {
    expect(() => parseGlob('')).toThrow(/empty/)
    expect(() => parseGlob('a'.repeat(20_001))).toThrow(/too long/)
  })

  /** The definition, by trying everything. */
  const byTrying = (pattern: string, path: string): boolean => {
    if (pattern === '') return path === ''
    if (pattern.startsWith('**/')) {
      const rest = pattern.slice(3)
      const starts = [0, ...[...path.matchAll(/\//g)].map(({ index }) => index + 1)]
      return starts.some((at) => byTrying(rest, path.slice(at)))
    }
    if (pattern.startsWith('**'))
      return tails(path).some((tail) => byTrying(pattern.slice(2), tail))
    if (pattern.startsWith('*')) {
      const end = path.indexOf('/')
      return tails(path)
        .slice(0, end < 0 ? undefined : end + 1)
        .some((tail) => byTrying(pattern.slice(1), tail))
    }
    const [char, ...rest] = pattern
    if (path === '' || (char === '?' ? path[0] === '/' : path[0] !== char)) return false
    return byTrying(rest.join(''), path.slice(1))
  }
  const tails = (path: string): string[] =>
    Array.from({ length: path.length + 1 }, (_, i) => path.slice(i))

  test('matches what its definition says', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 })
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'))
    const part = fc.constantFrom('a', 'b', '*', '?', '/', '**/')
    const pattern = fc
      .array(part, { minLength: 1, maxLength: 7 })
      .map((parts) => `/${parts.join('')}`)
      // Stars that touch, and slashes, have readings of their own, tested above.
      .filter((text) => !/\*\*\*|\/\/|[^/]\*\*|\/$|[ab?*]\*\*/.test(text))
    fc.assert(
      fc.property(pattern, path, (glob, names) => {
        expect(matches(glob, `/${names}`)).toBe(byTrying(glob.slice(1), names))
      }),
      { numRuns: 2000 },
    )
  })

  test('that could be read in a great many ways still answers at once', () => {
    const steps = 200
    const path = `/${'a'.repeat(steps * 40)}`
    expect(matches(`/${'*a'.repeat(steps)}b`, path)).toBe(false)
    expect(matches(`/${'**a'.repeat(steps)}*b`, path)).toBe(false)
    expect(matches(`/${'**/'.repeat(steps)}b`, `/${'a/'.repeat(4000)}c`)).toBe(false)
  })
})
