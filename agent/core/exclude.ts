/**
 * Patterns of what a source leaves out. Bytes as latin1, like all names here.
 *
 *   *.log        any entry of that name, anywhere         node_modules/   any directory of that name
 *   /srv/tmp     exactly this path and what is below it    a/b            these components, anywhere
 *   *  any run within a component    **  any run of components    ?  one byte    [a-z] [!a-z]  one byte of a set
 *   \x the character x itself; a pattern of only spaces, or beginning with #, is nothing
 */
import type { Bytes } from '#shared/format/tree-order.ts'

export type Exclude = (path: Bytes, isDirectory: boolean) => boolean

const NOTHING: Exclude = () => false

/** The class `[…]` that begins at `at`: its expression and its end, or null where no `]` closes it. */
const classAt = (
  pattern: string,
  at: number,
): { readonly source: string; readonly end: number } | null => {
  const negated = pattern[at + 1] === '!' || pattern[at + 1] === '^'
  const from = at + (negated ? 2 : 1)
  const end = pattern.indexOf(']', from + 1)
  if (end === -1) return null
  const body = pattern.slice(from, end).replace(/[\\\]^[]/g, '\\$&')
  return { source: `(?!/)[${negated ? '^' : ''}${body}]`, end: end + 1 }
}

const literal = (char: string): string => char.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')

type Piece = { readonly source: string; readonly end: number }

const starsAt = (pattern: string, at: number): Piece => {
  if (pattern[at + 1] !== '*') return { source: '[^/]*', end: at + 1 }
  if (pattern[at + 2] === '/') return { source: '(?:[^/]*/)*', end: at + 3 }
  return { source: '[^]*', end: at + 2 }
}

const pieceAt = (pattern: string, at: number): Piece => {
  const char = pattern[at] ?? ''
  if (char === '*') return starsAt(pattern, at)
  if (char === '?') return { source: '[^/]', end: at + 1 }
  if (char === '\\' && at + 1 < pattern.length)
    return { source: literal(pattern[at + 1] ?? ''), end: at + 2 }
  const set = char === '[' ? classAt(pattern, at) : null
  return set ?? { source: literal(char), end: at + 1 }
}

const sourceOf = (pattern: string): string => {
  let source = ''
  for (let at = 0; at < pattern.length;) {
    const piece = pieceAt(pattern, at)
    source += piece.source
    at = piece.end
  }
  return source
}

type Rule = { readonly source: string; readonly directoriesOnly: boolean }

const ruleOf = (line: string): Rule | null => {
  if (line.trim() === '' || line.startsWith('#')) return null
  const directoriesOnly = line.length > 1 && line.endsWith('/')
  const pattern = Buffer.from(directoriesOnly ? line.slice(0, -1) : line, 'utf8').toString('latin1')
  const start = pattern.startsWith('/') ? '^' : '(?:^|/)'
  return { source: `${start}${sourceOf(pattern)}$`, directoriesOnly }
}

const anyOf = (rules: readonly Rule[]): RegExp | null =>
  rules.length === 0 ? null : new RegExp(rules.map((rule) => `(?:${rule.source})`).join('|'))

/** One matcher of all patterns. What lies below an excluded directory is never asked about. */
export const compileExclude = (patterns: readonly string[]): Exclude => {
  const rules = patterns.map(ruleOf).filter((rule) => rule !== null)
  if (rules.length === 0) return NOTHING
  const any = anyOf(rules.filter((rule) => !rule.directoriesOnly))
  const directories = anyOf(rules)
  return (path, isDirectory) => (isDirectory ? directories : any)?.test(path) ?? false
}
