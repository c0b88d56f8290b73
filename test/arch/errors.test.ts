import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { CATALOGUE, describe as describeError } from '#shared/errors.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const sources = ['shared', 'agent', 'server']
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((path) =>
      join(root, folder, path),
    ),
  )
  .filter((path) => path.endsWith('.ts') && !path.endsWith('shared/errors.ts'))
  .map((path) => ({ path: path.slice(root.length), text: readFileSync(path, 'utf8') }))

const placesOf = (what: string): string[] =>
  [...what.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)

/** The text of the object literal that starts at `from`, braces balanced. */
const objectAt = (text: string, from: number): string => {
  let depth = 0
  for (let i = from; i < text.length; i += 1) {
    if (text[i] === '{') depth += 1
    if (text[i] === '}') depth -= 1
    if (depth === 0) return text.slice(from, i + 1)
  }
  return ''
}

describe('the catalogue of errors', () => {
  test('every entry says what happened and ends with what to do', () => {
    for (const [code, entry] of Object.entries(CATALOGUE)) {
      expect(code).toMatch(/^[A-Z][A-Z_]+$/)
      expect(entry.what).toMatch(/\.$/)
      expect(entry.hint).toMatch(/^[A-Z].*\.$/)
      expect(entry.status).toBeGreaterThanOrEqual(400)
      expect(entry.exit).toBeGreaterThan(0)
    }
  })

  test('every throw fills the places of its message', () => {
    const wrong: string[] = []
    for (const { path, text } of sources)
      for (const match of text.matchAll(/\bfail\(\s*'(\w+)',?\s*(\{)?/g)) {
        const code = match[1] as keyof typeof CATALOGUE
        if (!(code in CATALOGUE)) wrong.push(`${path}: ${code} is not in the catalogue`)
        else if (match[2] === '{') {
          const details = objectAt(text, match.index + match[0].length - 1)
          for (const place of placesOf(CATALOGUE[code].what))
            if (!new RegExp(`\\b${place}\\b|\\.\\.\\.`).test(details))
              wrong.push(`${path}: ${code} without "${place}"`)
        } else if (!match[0].endsWith(',') && placesOf(CATALOGUE[code].what).length > 0) {
          const next = text.slice(match.index + match[0].length).trimStart()
          if (next.startsWith(')')) wrong.push(`${path}: ${code} without details`)
        }
      }
    expect(wrong).toEqual([])
  })

  test('every code is thrown or answered somewhere', () => {
    const used = new Set<string>()
    for (const { text } of sources)
      for (const match of text.matchAll(/'([A-Z][A-Z_]+)'/g)) used.add(match[1]!)
    expect(Object.keys(CATALOGUE).filter((code) => !used.has(code))).toEqual([])
  })

  test('a message names its details and its remedy', () => {
    expect(describeError('MISSING_OBJECT', { key: 'vaults/x' })).toBe(
      'The object vaults/x is missing. Restore it from a copy of the bucket, or choose another backup.',
    )
  })
})
