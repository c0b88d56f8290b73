/** Our patterns against those of git, which made them. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileExclude } from '#agent/core/exclude.ts'
import { hasProgram } from '../../support/programs.ts'

let folder = ''
const NAMES = ['a', 'b', 'ab', 'a.log', '!a', '#a', 'b ']

const fill = (at: string, depth: number): void => {
  for (const name of NAMES) {
    writeFileSync(join(at, `f${name}`), '')
    if (depth === 0) writeFileSync(join(at, name), '')
    else {
      mkdirSync(join(at, name))
      fill(join(at, name), depth - 1)
    }
  }
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hf-ignore-'))
  if (!hasProgram('git')) return
  execFileSync('git', ['init', '-q', folder])
  fill(folder, 2)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const all = (at = ''): { path: string; isDir: boolean }[] =>
  readdirSync(join(folder, at))
    .filter((name) => !name.startsWith('.git'))
    .flatMap((name) => {
      const path = `${at}/${name}`
      const isDir = statSync(join(folder, path)).isDirectory()
      return [{ path, isDir }, ...(isDir ? all(path) : [])]
    })

const byGit = (patterns: readonly string[], paths: readonly string[]): string[] => {
  writeFileSync(join(folder, '.gitignore'), `${patterns.join('\n')}\n`)
  const input = paths.map((path) => `${path.slice(1)}\0`).join('')
  try {
    const args = ['-C', folder, 'check-ignore', '--no-index', '-z', '--stdin']
    const out = execFileSync('git', args, { input, encoding: 'utf8' })
    return out
      .split('\0')
      .filter((path) => path !== '')
      .map((path) => `/${path}`)
  } catch (error) {
    // Exit code 1: none is ignored.
    if (error instanceof Error && 'status' in error && error.status === 1) return []
    throw error
  }
}

const byUs = (patterns: readonly string[], entries: ReturnType<typeof all>): string[] => {
  const exclude = compileExclude(patterns)
  const gone: string[] = []
  return entries
    .filter(({ path, isDir }) => {
      const isGone = gone.some((top) => path.startsWith(`${top}/`)) || exclude(path, isDir)
      if (isGone && isDir) gone.push(path)
      return isGone
    })
    .map(({ path }) => path)
}

const part = fc.constantFrom(
  'a',
  'b',
  'fa',
  '*',
  '**',
  '?',
  'a*',
  '*.log',
  '[ab]',
  '[!a]',
  'f*b',
  '\\a',
  '\\*',
)
const pattern = fc
  .record({
    taken: fc.boolean(),
    rooted: fc.boolean(),
    parts: fc.array(part, { minLength: 1, maxLength: 3 }),
    end: fc.constantFrom('', '/', ' ', '\\ '),
  })
  .map(
    ({ taken, rooted, parts, end }) =>
      `${taken ? '!' : ''}${rooted ? '/' : ''}${parts.join('/')}${end}`,
  )
const line = fc.oneof(
  { weight: 8, arbitrary: pattern },
  fc.constantFrom('# a', '', '\\#a', '\\!a', '!', '/'),
)

test.skipIf(!hasProgram('git'))(
  'are those of git (needs git)',
  () => {
    const entries = all()
    const paths = entries.map(({ path }) => path)
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), (patterns) => {
        expect(byUs(patterns, entries)).toEqual(byGit(patterns, paths))
      }),
      { numRuns: 150 },
    )
  },
  60_000,
)
