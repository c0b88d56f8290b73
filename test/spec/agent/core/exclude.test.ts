import { expect, test } from 'vitest'
import { compileExclude } from '#agent/core/exclude.ts'
import { planWalk } from '#agent/core/sources.ts'

test.each([
  ['*.log', '/a/b.log', true],
  ['*.log', '/a/b.log/c', false],
  ['*.log', '/a/b.logs', false],
  ['cache', '/home/cache', true],
  ['cache', '/home/my-cache', false],
  ['/srv/tmp', '/srv/tmp', true],
  ['/srv/tmp', '/x/srv/tmp', false],
  ['a/b', '/a/b', true],
  ['a/b', '/x/a/b', false],
  ['**/a/b', '/x/a/b', true],
  ['a/**/b', '/a/b', true],
  ['a/**/b', '/a/c/d/b', true],
  ['a/**', '/a', false],
  ['a/**', '/a/b', true],
  ['**', '/a', true],
  ['a**b', '/axb', true],
  ['/a**b', '/ax/b', false],
  ['\\!x', '/!x', true],
  ['\\#x', '/#x', true],
  ['x  ', '/x', true],
  ['x\\ ', '/x ', true],
  ['x\\ ', '/x', false],
  ['/', '/x', false],
  ['!', '/x', false],
  ['/home/*/tmp', '/home/me/tmp', true],
  ['/home/*/tmp', '/home/me/too/tmp', false],
  ['?.txt', '/a.txt', true],
  ['?.txt', '/ab.txt', false],
  ['file[0-9]', '/file7', true],
  ['file[!0-9]', '/file7', false],
  ['file[!0-9]', '/fileX', true],
  ['file[', '/file[', true],
  ['a.b', '/aXb', false],
  ['\\*', '/*', true],
  ['\\*', '/x', false],
  ['# comment', '/# comment', false],
  ['   ', '/   ', false],
])('%j against %s: %s', (pattern, path, excluded) => {
  expect(compileExclude([pattern])(path, false)).toBe(excluded)
})

test('a pattern that ends in a slash is for folders alone', () => {
  const exclude = compileExclude(['node_modules/', 'x'])
  expect(exclude('/a/node_modules', true)).toBe(true)
  expect(exclude('/a/node_modules', false)).toBe(false)
  expect(exclude('/a/x', true)).toBe(true)
})

test('a pattern is compared with the bytes of a name', () => {
  const exclude = compileExclude(['*.grün'])
  expect(exclude(Buffer.from('/a.grün').toString('latin1'), false)).toBe(true)
  expect(exclude('/a.grün', false)).toBe(false)
})

test('the last pattern that matches decides', () => {
  const exclude = compileExclude(['*.log', '!keep.log', '/srv/*', '!/srv/www'])
  expect(exclude('/a.log', false)).toBe(true)
  expect(exclude('/x/keep.log', false)).toBe(false)
  expect(exclude('/srv/db', true)).toBe(true)
  expect(exclude('/srv/www', true)).toBe(false)
  expect(compileExclude(['!keep', 'keep'])('/keep', false)).toBe(true)
})

test('a slash within begins at the source, one in front at the root', () => {
  const exclude = compileExclude(['a/b', '/c'], '/srv/app')
  expect(exclude('/srv/app/a/b', true)).toBe(true)
  expect(exclude('/srv/app/x/a/b', true)).toBe(false)
  expect(exclude('/srv/app/c', true)).toBe(false)
  expect(compileExclude(['/srv/app/c'], '/srv/app')('/srv/app/c', true)).toBe(true)
})

test('what is meant to take forever takes no time', () => {
  const exclude = compileExclude([`${'*a'.repeat(60)}b`, `/${'**/a/'.repeat(60)}b`])
  expect(exclude(`/${'a'.repeat(255)}`, false)).toBe(false)
  expect(exclude('/a'.repeat(2000), false)).toBe(false)
})

test('no pattern excludes nothing', () => {
  expect(compileExclude([])('/a', true)).toBe(false)
})

test('sources are made plain, and each leads from the root', () => {
  const plan = planWalk([{ paths: ['/a//b/./c/', '/a/b', '/'] }])
  expect([...plan.roots.keys()]).toEqual(['/a/b/c', '/a/b', '/'])
  expect(Object.fromEntries(plan.ancestors)).toEqual({ '/': ['a'], '/a': ['b'], '/a/b': ['c'] })
  expect(plan.problems).toEqual([])
})

test('a path that is relative or climbs is a problem of that path', () => {
  const plan = planWalk([{ paths: ['a', '/a/../b', '', '/ok'] }])
  expect(plan.problems.map(({ path }) => path)).toEqual(['a', '/a/../b', ''])
  expect([...plan.roots.keys()]).toEqual(['/ok'])
})
