import { describe, expect, test } from 'vitest'
import { pagesOf, parseWanted, showWanted, wishOf } from '#server/core/selection.ts'
import { fileId } from '#shared/api/file-ids.ts'
import { selectionOf } from '#shared/read/selection.ts'

const invalid = (field: string): Error =>
  expect.objectContaining({
    code: 'VALIDATION_FAILED',
    details: expect.objectContaining({ field }) as unknown,
  }) as Error

describe('what a request wants', () => {
  test('is a file id, an absolute path or a glob', () => {
    const odd = '/srv/caf\xe9[1]'
    expect(parseWanted(['/etc//hosts/', fileId(odd), '/var/**/*.log', '*.conf'])).toEqual([
      { raw: '/etc/hosts', glob: false },
      { raw: odd, glob: false },
      { raw: '/var/**/*.log', glob: true },
      { raw: '*.conf', glob: true },
    ])
  })

  test('is the bytes of its text in UTF-8', () => {
    expect(parseWanted(['/ä'])).toEqual([{ raw: '/\xc3\xa4', glob: false }])
    expect(showWanted(parseWanted(['/ä', '/ä*']))).toEqual([
      { id: fileId('/\xc3\xa4'), path: '/ä', glob: false },
      { id: null, path: '/ä*', glob: true },
    ])
  })

  test('is refused by its place where it is none of them', () => {
    for (const text of [
      'etc/hosts',
      '',
      'f_',
      '/etc/../shadow',
      '/a\0b',
      `f_${'A'.repeat(13_000)}`,
    ])
      expect(() => parseWanted(['/fine', text])).toThrow(invalid('files.1'))
    expect(() => parseWanted([`/${'*'.repeat(25_000)}`])).toThrow(invalid('files.0'))
  })

  test('is counted once, however often it is said', () => {
    expect(parseWanted(['/a', '/a/', fileId('/a')])).toHaveLength(1)
  })

  test('chooses from a tree', () => {
    const selection = selectionOf(wishOf(parseWanted(['/etc/hosts', '/var/*.log'])))
    expect(selection.wants({ dir: '/etc', name: 'hosts' })).toBe(true)
    expect(selection.wants({ dir: '/var', name: 'a.log' })).toBe(true)
    expect(selection.wants({ dir: '/var/b', name: 'a.log' })).toBe(false)
  })
})

describe('pages of what is wanted', () => {
  test('are in order, complete, and small enough for a message', () => {
    const texts = Array.from({ length: 2500 }, (_, i) => `/${String(i)}/${'x'.repeat(i % 900)}`)
    const wanted = parseWanted(texts)
    const pages = pagesOf(wanted)
    expect(pages.flat()).toEqual(wanted)
    for (const page of pages) {
      expect(page.length).toBeLessThanOrEqual(1000)
      expect(page.reduce((sum, { raw }) => sum + raw.length, 0)).toBeLessThanOrEqual(256 * 1024)
    }
    expect(pages.length).toBeGreaterThan(3)
  })

  test('are none where everything is wanted', () => {
    expect(pagesOf([])).toEqual([])
  })
})
