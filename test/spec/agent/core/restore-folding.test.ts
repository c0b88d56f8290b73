import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFolding } from '#agent/core/restore-folding.ts'

const bytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')

test('of names in the order of their bytes, those that fold to an earlier one are twins', () => {
  const names = ['Makefile', 'README', 'caf\u0065\u0301', 'café', 'makefile', 'readme', 'readme2']
  const folding = createFolding()
  const twins = names
    .map(bytes)
    .sort()
    .filter((name) => folding.isTwin(name))
  expect(twins.sort()).toEqual(['café', 'makefile', 'readme'].map(bytes).sort())
})

test('names of letters that have no capital, or no letters at all, are remembered by nobody', () => {
  const folding = createFolding()
  const plain = fc.string({
    unit: fc.constantFrom('a', 'b', 'z', '0', '-', '_', '.', '~', '{'),
    minLength: 1,
  })
  fc.assert(
    fc.property(fc.uniqueArray(plain), (names) => {
      expect(names.filter((name) => folding.isTwin(name))).toEqual([])
    }),
  )
})
