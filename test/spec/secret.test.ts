import { format, inspect } from 'node:util'
import { expect, test } from 'vitest'
import { reveal, secret } from '#shared/secret.ts'

const bytes = new TextEncoder().encode('correct horse battery staple')

test('a secret prints as [secret] however it is turned into text', () => {
  const wrapped = secret(bytes)
  const texts = [
    String(wrapped),
    wrapped.toString(),
    JSON.stringify({ key: wrapped }),
    inspect(wrapped),
    inspect({ key: wrapped }, { showHidden: true, depth: null }),
    format('%s %o %O %j', wrapped, wrapped, wrapped, wrapped),
    Object.entries(wrapped).join(),
  ]
  for (const text of texts) expect(text).not.toMatch(/horse|99,111,114|636f72/i)
  expect(String(wrapped)).toBe('[secret]')
  expect(JSON.stringify([wrapped])).toBe('["[secret]"]')
  expect(inspect([wrapped])).toBe('[ [secret] ]')
})

test('only reveal gives it back, and only for what secret made', () => {
  const wrapped = secret(bytes)
  expect(reveal(wrapped)).toEqual(bytes)
  expect(() => reveal({ ...wrapped })).toThrow(TypeError)
  expect(Object.isFrozen(wrapped)).toBe(true)
})
