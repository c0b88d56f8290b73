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
  ['a/b', '/x/a/b', true],
  ['a/b', '/x/a/c/b', false],
  ['a/**/b', '/x/a/b', true],
  ['a/**/b', '/x/a/c/d/b', true],
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
