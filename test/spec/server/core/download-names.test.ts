import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { attachment, baseName, distinct, fileName } from '#server/core/download-names.ts'

describe('the name of a prepared object', () => {
  test.each([
    ['hosts', 'hosts.age'],
    ['.bashrc', '.bashrc.age'],
    ['..', '_...age'],
    ['', '_.age'],
    ['a/b\\c', 'a_b_c.age'],
    ['line\nbreak\r\0', 'line_break__.age'],
    ['\u202egpj.exe', '_gpj.exe.age'],
    ['\ud800half', '\ufffdhalf.age'],
    ['-rf *', '-rf *.age'],
  ])('of %j is %j', (base, name) => {
    expect(fileName(base, '.age')).toBe(name)
  })

  test('is at most as long as file systems take, and ends as it has to', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (base) => {
        const name = fileName(base, '.tar.zst.age')
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255)
        expect(name.endsWith('.tar.zst.age')).toBe(true)
        expect(name).not.toMatch(/[\p{Cc}/\\]/u)
        expect(name.isWellFormed()).toBe(true)
      }),
    )
  })

  test('is the last part of the path', () => {
    expect(baseName('/etc/\xc3\xbc')).toBe('ü')
    expect(baseName('/\xff')).toBe('\ufffd')
  })

  test('is given once, however many files have it', () => {
    const suffix = '.age'
    const bases = ['a', 'a', 'b', 'a', 'a (2)', '\ufffd', '\ufffd'].map((base) => ({
      base,
      suffix,
    }))
    const names = distinct(bases)
    expect(new Set(names).size).toBe(bases.length)
    expect(names.slice(0, 4)).toEqual(['a.age', 'a (2).age', 'b.age', 'a (3).age'])
    expect(names.every((name) => name.endsWith('.age'))).toBe(true)
  })
})

describe('the header that carries it', () => {
  /** As a browser reads it: the extended name. */
  const read = (header: string): string =>
    decodeURIComponent(/filename\*=UTF-8''([^;]+)$/.exec(header)?.[1] ?? '')

  test('is one line of ASCII that says the name exactly, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (base) => {
        const name = fileName(base, '.age')
        const header = attachment(name)
        expect(header).toMatch(
          /^attachment; filename="[^"\\%;]*"; filename\*=UTF-8''[\w!#$&+.^`|~%-]+$/,
        )
        expect(header).toMatch(/^[\x20-\x7e]+$/)
        expect(read(header)).toBe(name)
      }),
    )
  })

  test('does not let a name end its quotes', () => {
    expect(attachment('a"; filename="b.age')).toBe(
      `attachment; filename="a__ filename=_b.age"; filename*=UTF-8''a%22%3B%20filename%3D%22b.age`,
    )
  })
})
