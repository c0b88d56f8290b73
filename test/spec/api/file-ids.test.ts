import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fail } from '#shared/errors.ts'
import { fileId, MAX_FILE_ID, parseFile, parseFileId, showPath } from '#shared/api/file-ids.ts'

const byte = fc.integer({ min: 1, max: 255 }).filter((code) => code !== 0x2f)
const name = fc
  .array(byte, { minLength: 1, maxLength: 30 })
  .map((codes) => String.fromCharCode(...codes))
  .filter((text) => text !== '.' && text !== '..')
const path = fc
  .array(name, { minLength: 1, maxLength: 6 })
  .map((names) => names.map((one) => `/${one}`).join(''))

describe('the id of a file', () => {
  test('carries every path exactly, whatever its bytes are', () => {
    fc.assert(
      fc.property(path, (raw) => {
        const id = fileId(raw)
        expect(id).toMatch(/^f_[A-Za-z0-9_-]+$/)
        expect(parseFileId(id)).toBe(raw)
        expect(parseFile(id, 'files.0')).toBe(raw)
      }),
    )
    expect(parseFileId(fileId('/'))).toBe('/')
  })

  test('is refused where no file can have it', () => {
    const of = (raw: string): string => `f_${Buffer.from(raw, 'latin1').toString('base64url')}`
    const wrong = ['', '/etc', 'f_', 'f_x', of('etc'), of('/a//b'), of('/a/'), of('/a/../b')]
    for (const id of [...wrong, of('/.'), of('/a\0b'), `${of('/ab')}=`, of(`/${'x'.repeat(1025)}`)])
      expect(parseFileId(id)).toBeNull()
    expect(parseFileId(`f_${'A'.repeat(MAX_FILE_ID)}`)).toBeNull()
    // The unused bits of the last character must be zero, so that a file has one id.
    const loose = 'f_L2F'
    expect(parseFileId('f_L2E')).toBe('/a')
    expect(parseFileId(loose)).toBeNull()
  })

  test('has a longest one that is taken', () => {
    const dir = `/${'d'.repeat(1023)}`.repeat(8)
    const longest = `${dir}/${'n'.repeat(1024)}`
    expect(fileId(longest)).toHaveLength(MAX_FILE_ID)
    expect(parseFileId(fileId(longest))).toBe(longest)
  })
})

describe('a file that somebody names', () => {
  test('may be a path, as people write them', () => {
    expect(parseFile('/etc/hosts', 'path')).toBe('/etc/hosts')
    expect(parseFile('//etc//hosts/', 'path')).toBe('/etc/hosts')
    expect(parseFile('/', 'path')).toBe('/')
    expect(parseFile('/ü', 'path')).toBe('/\xc3\xbc')
  })

  test('is refused by field where it is neither', () => {
    for (const text of ['', 'etc', '/a/../b', '/./a', '/a\0b', 'f_?'])
      expect(() => parseFile(text, 'files.3')).toThrow(
        fail('VALIDATION_FAILED', {
          field: 'files.3',
          problem: 'is neither a file id nor an absolute path',
        }),
      )
  })

  test('is shown as text, with a mark for what is none', () => {
    expect(showPath('/\xc3\xbc')).toBe('/ü')
    expect(showPath('/a\xff')).toBe('/a\uFFFD')
  })
})
