import { describe, expect, test } from 'vitest'
import { allows, formatPolicy, parsePolicy, type Policy, refused } from '#agent/core/policy.ts'

const policy = (over: Partial<Policy>): Policy => ({
  file: '/etc/holdfast/policy.json',
  sources: [],
  restores: [],
  ceiling: { upload: null, download: null },
  ...over,
})

const latin1 = (text: string): string => Buffer.from(text).toString('latin1')

describe('a policy', () => {
  test.each([
    ['/srv', '/srv', true],
    ['/srv', '/srv/data/x', true],
    ['/srv', '/srv2', false],
    ['/srv', '/', false],
    ['/srv/data', '/srv', false],
    ['/', '/anything', true],
    ['/', '/', true],
    ['/srv', '/srv/../etc', false],
    ['/', '/srv/../etc', false],
    ['/srv', 'srv/x', false],
    ['/', '', false],
    ['/srv', '/srv/', false],
    ['/srv', '/srv//x', false],
    [latin1('/srv/ü'), latin1('/srv/ü/x'), true],
  ])('that names %s, and %s: %s', (root, path, expected) => {
    expect(allows(policy({ sources: [root] }), 'source', path)).toBe(expected)
    expect(allows(policy({ restores: [root] }), 'restore', path)).toBe(expected)
    expect(allows(policy({ sources: [root] }), 'restore', path)).toBe(false)
    expect(allows(policy({}), 'source', path)).toBe(false)
  })

  test('is read as it was written, with lines for people in it', () => {
    const text = formatPolicy({ sources: ['/', '/srv/ü'], restores: [] })
    expect(text.startsWith('//')).toBe(true)
    expect(parsePolicy('f', text)).toEqual({
      file: 'f',
      sources: ['/', latin1('/srv/ü')],
      restores: [],
      ceiling: { upload: null, download: null },
    })
    const slow = '{"version": 1, "sources": [], "restores": [], "upload_limit": 1048576}'
    expect(parsePolicy('f', slow).ceiling).toEqual({ upload: 1048576, download: null })
    const commented = '{"version": 1,\n  // why\n "sources": ["/a//b/./c/"], "restores": []}'
    expect(parsePolicy('f', commented).sources).toEqual(['/a/b/c'])
    // Not at the beginning of a line it is part of what stands there.
    const inPath = '{"version": 1, "sources": ["//srv"], "restores": []}'
    expect(parsePolicy('f', inPath).sources).toEqual(['/srv'])
  })

  test.each([
    ['', 'it is not JSON'],
    ['[]', 'body'],
    ['null', 'body'],
    ['{"version": 1, "sources": ["/a"], "restores": [], "hooks": "/x"}', 'no field "hooks"'],
    ['{"version": 1, "source": ["/a"], "restores": []}', 'no field "source"'],
    ['{"version": 1, "sources": ["/a"]}', 'restores'],
    ['{"version": 2, "sources": [], "restores": []}', 'version'],
    ['{"version": 1, "sources": "/a", "restores": []}', 'sources'],
    ['{"version": 1, "sources": [""], "restores": []}', 'sources.0'],
    ['{"version": 1, "sources": ["a"], "restores": []}', '"a" is not an absolute path'],
    ['{"version": 1, "sources": [], "restores": ["/a/../b"]}', 'is not an absolute path'],
  ])('%s is none', (text, problem) => {
    const read = (): unknown => parsePolicy('/p.json', text)
    expect(read).toThrow(problem)
    expect(read).toThrow(expect.objectContaining({ code: 'POLICY_UNUSABLE' }))
  })

  test('says what it refuses, and where that can be changed', () => {
    const error = refused(policy({}), 'restore', '/etc')
    expect(error).toMatchObject({ code: 'POLICY_REFUSED', details: { path: '/etc' } })
    expect(error.message).toContain('/etc/holdfast/policy.json')
    expect(error.message).toContain('"restores"')
  })
})
