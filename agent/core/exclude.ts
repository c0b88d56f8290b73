/**
 * Patterns of what a source leaves out, as a .gitignore in the source's folder has them (gitignore(5)): the last one that
 * matches decides, `!` takes back, a slash at the end means folders alone. A pattern with a slash in front is a path
 * from the root of the file system, as those of the source are; one with a slash within begins in the source's folder;
 * any other is a name, at any depth. Bytes as latin1, like all names here; matching takes time in proportion to both.
 */
import { parseGlob } from '#shared/read/glob.ts'
import type { Bytes } from '#shared/format/tree-order.ts'

export type Exclude = (path: Bytes, isDirectory: boolean) => boolean

/** What leaves nothing out. */
export const NOTHING: Exclude = () => false

/** What is compared: the whole path, the path below the source, or the name. Each begins with a slash. */
type Part = 'path' | 'below' | 'name'

type Rule = {
  readonly part: Part
  readonly matches: (text: Bytes) => boolean
  readonly isDirectoryOnly: boolean
  readonly takesBack: boolean
}

/** Spaces at the end count only behind a backslash. */
const withoutSpaces = (line: string): string => {
  let end = line.length
  while (end > 0 && line[end - 1] === ' ' && line[end - 2] !== '\\') end -= 1
  return line.slice(0, end)
}

/** Two stars mean folders only where they are a whole name; elsewhere they are one. */
const plainStars = (pattern: string): string =>
  pattern
    .split('/')
    .map((part) =>
      part === '**' ? part : part.replace(/(\\.)|\*\*+/g, (_, escaped?: string) => escaped ?? '*'),
    )
    .join('/')

const partOf = (pattern: string): Part => {
  if (pattern.startsWith('/')) return 'path'
  return pattern.includes('/') ? 'below' : 'name'
}

const ruleOf = (written: string): Rule | null => {
  if (written.startsWith('#')) return null
  const line = withoutSpaces(written)
  const takesBack = line.startsWith('!')
  const pattern = takesBack ? line.slice(1) : line
  const bare = pattern.replace(/\/+$/, '')
  if (bare === '') return null
  const part = partOf(bare)
  const glob = plainStars(part === 'path' ? bare : `/${bare}`)
  const { matches } = parseGlob(Buffer.from(glob, 'utf8').toString('latin1'))
  return { part, matches, isDirectoryOnly: bare !== pattern, takesBack }
}

/** What lies below an excluded folder is never asked about, and cannot be taken back. `root`: the source's folder. */
export const compileExclude = (patterns: readonly string[], root: Bytes = '/'): Exclude => {
  const rules = patterns.map(ruleOf).filter((rule) => rule !== null)
  if (rules.length === 0) return NOTHING
  const depth = root === '/' ? 0 : root.length
  return (path, isDirectory) => {
    const texts = { path, below: path.slice(depth), name: path.slice(path.lastIndexOf('/')) }
    const last = rules.findLast(
      ({ part, matches, isDirectoryOnly }) =>
        (isDirectory || !isDirectoryOnly) && matches(texts[part]),
    )
    return last !== undefined && !last.takesBack
  }
}
