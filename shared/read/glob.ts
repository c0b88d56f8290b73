/**
 * Globs that choose from a backup. Bytes as latin1, like all names here. The signs are those of `exclude`:
 *
 *   *  any run within a name    **  any run across folders    ** and a slash  any folders, or none    ?  one byte of a name
 *   [a-z] [!a-z]  one byte of a set    \x  the character x itself
 *
 * One that does not begin with a slash matches anywhere. Matching takes time in proportion to path and pattern, whatever
 * they are: both come from outside.
 */
import { fail } from '../errors.ts'
import type { Bytes } from '../format/tree-order.ts'

export type Glob = {
  /** As it was written. */
  readonly pattern: Bytes
  /** The folder that everything it matches lies in. */
  readonly top: Bytes
  readonly matches: (path: Bytes) => boolean
}

/** `folders`: any run of whole names, each with its slash. */
type Token = 'one' | 'run' | 'deep' | 'folders' | number | ReadonlySet<number>

/** Longest pattern: that of the longest path, with every byte escaped. */
const MOST = 20_000
const SLASH = 0x2f

const wrong = (pattern: Bytes, problem: string): Error =>
  fail('WRONG_USE', {
    problem: `The glob ${Buffer.from(pattern, 'latin1').toString('utf8')} ${problem}`,
  })

type Read = { readonly token: Token; readonly end: number }

const codes = (from: number, to: number): readonly number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)

/** The set that begins at `at`, or null where no `]` closes it. A slash is in none. */
const setAt = (pattern: Bytes, at: number): Read | null => {
  const negated = pattern[at + 1] === '!' || pattern[at + 1] === '^'
  const from = at + (negated ? 2 : 1)
  const end = pattern.indexOf(']', from + 1)
  if (end < 0) return null
  const named = new Set<number>()
  for (let i = from; i < end; i += 1) {
    const isRange = pattern[i + 1] === '-' && i + 2 < end
    const last = pattern.charCodeAt(isRange ? i + 2 : i)
    for (const code of codes(pattern.charCodeAt(i), last)) named.add(code)
    if (isRange) i += 2
  }
  const set = negated ? codes(0, 255).filter((code) => !named.has(code)) : named
  const token = new Set(set)
  token.delete(SLASH)
  return { token, end: end + 1 }
}

const starsAt = (pattern: Bytes, at: number): Read => {
  if (pattern[at + 1] !== '*') return { token: 'run', end: at + 1 }
  const afterSlash = at === 0 || pattern[at - 1] === '/'
  if (pattern[at + 2] === '/' && afterSlash) return { token: 'folders', end: at + 3 }
  let end = at + 2
  while (pattern[end] === '*') end += 1
  return { token: 'deep', end }
}

const tokenAt = (pattern: Bytes, at: number): Read => {
  const char = pattern[at] ?? ''
  if (char === '*') return starsAt(pattern, at)
  if (char === '?') return { token: 'one', end: at + 1 }
  if (char === '\\' && at + 1 < pattern.length)
    return { token: pattern.charCodeAt(at + 1), end: at + 2 }
  const set = char === '[' ? setAt(pattern, at) : null
  return set ?? { token: pattern.charCodeAt(at), end: at + 1 }
}

/** Slashes that follow each other are one; one at the end is none. */
const tokensOf = (written: Bytes): readonly Token[] => {
  let length = written.length
  while (length > 1 && written[length - 1] === '/') length -= 1
  const pattern = written.slice(0, length)
  const tokens: Token[] = pattern.startsWith('/') ? [] : [SLASH, 'folders']
  for (let at = 0; at < pattern.length;) {
    const { token, end } = tokenAt(pattern, at)
    if (token !== SLASH || tokens.at(-1) !== SLASH) tokens.push(token)
    at = end
  }
  return tokens
}

const literal = (tokens: readonly Token[]): Bytes =>
  tokens.map((token) => (typeof token === 'number' ? String.fromCharCode(token) : '')).join('')

/** `WRONG_USE` for what cannot be one. */
export const parseGlob = (pattern: Bytes): Glob => {
  if (pattern === '' || pattern.length > MOST) throw wrong(pattern, 'is empty, or too long')
  const tokens = tokensOf(pattern)
  const special = tokens.findIndex((token) => typeof token !== 'number')
  const head = literal(special < 0 ? tokens : tokens.slice(0, special))
  const last = tokens.findLastIndex((token) => typeof token !== 'number')
  const tail = special < 0 ? '' : literal(tokens.slice(last + 1))
  const rest = special < 0 ? [] : tokens.slice(special)
  const run = createRun(rest)
  return {
    pattern,
    top: head.slice(0, Math.max(1, head.lastIndexOf('/'))),
    matches: (path) => path.startsWith(head) && path.endsWith(tail) && run(path, head.length),
  }
}

/**
 * All that the tokens can mean at once, byte by byte. State `i`: the tokens before `i` are used up. State `i` plus the
 * number of tokens plus one: within a name that token `i`, `folders`, goes over.
 */
const createRun = (tokens: readonly Token[]): ((path: Bytes, from: number) => boolean) => {
  const inside = tokens.length + 1
  const seen = new Uint32Array(2 * inside)
  let mark = 0
  let now: number[] = []
  let then: number[] = []
  const reach = (state: number): void => {
    for (let at = state; seen[at] !== mark; at += 1) {
      seen[at] = mark
      then.push(at)
      const token = tokens[at]
      if (token !== 'run' && token !== 'deep' && token !== 'folders') return
    }
  }
  const stay = (state: number): void => {
    if (seen[state] === mark) return
    seen[state] = mark
    then.push(state)
  }
  const advance = (state: number, code: number): void => {
    if (state >= inside) {
      if (code === SLASH) reach(state - inside)
      else stay(state)
      return
    }
    const token = tokens[state]
    if (token === 'deep') reach(state)
    else if (token === 'folders') {
      if (code !== SLASH) stay(state + inside)
    } else if (token === 'run') {
      if (code !== SLASH) reach(state)
    } else if (accepts(token, code)) reach(state + 1)
  }
  const turn = (): void => {
    const used = now
    now = then
    then = used
    then.length = 0
    mark += 1
  }
  return (path, from) => {
    // The marks are 32 bits wide, and a path takes one a byte.
    if (mark > 0xf000_0000) {
      seen.fill(0)
      mark = 0
    }
    then.length = 0
    mark += 1
    reach(0)
    for (let at = from; at < path.length && then.length > 0; at += 1) {
      turn()
      const code = path.charCodeAt(at)
      for (const state of now) advance(state, code)
    }
    return then.includes(tokens.length)
  }
}

const accepts = (token: Token | undefined, code: number): boolean => {
  if (token === undefined) return false
  if (typeof token === 'number') return token === code
  if (typeof token === 'string') return token === 'one' && code !== SLASH
  return token.has(code)
}
