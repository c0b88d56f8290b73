/** What a backup walks: the sources as given → one plan in which overlapping ones are merged. */
import { isDir, type Bytes } from '#shared/format/tree-order.ts'
import { type Rules, rulesOf, type SourceOptions } from './rules.ts'

export type FilesSource = SourceOptions & { readonly paths: readonly string[] }

export type SourceProblem = { readonly path: string; readonly problem: string }

export type WalkPlan = {
  /** Per directory above a source: which of its names lead to one. */
  readonly ancestors: ReadonlyMap<Bytes, readonly Bytes[]>
  /** What the sources leave out, by the path where each begins; `/` stands for everything. */
  readonly roots: ReadonlyMap<Bytes, readonly Rules[]>
  readonly problems: readonly SourceProblem[]
}

/** Without doubled, leading-dot and trailing parts; null for what is not an absolute path free of `..`. */
export const normalise = (path: string): Bytes | null => {
  if (!path.startsWith('/')) return null
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  const clean = Buffer.from(`/${parts.join('/')}`, 'utf8').toString('latin1')
  return isDir(clean) ? clean : null
}

const parentOf = (path: Bytes): Bytes => path.slice(0, Math.max(1, path.lastIndexOf('/')))
const nameOf = (path: Bytes): Bytes => path.slice(path.lastIndexOf('/') + 1)

const lead = (ancestors: Map<Bytes, Set<Bytes>>, root: Bytes): void => {
  for (let path = root; path !== '/'; path = parentOf(path)) {
    const parent = parentOf(path)
    const names = ancestors.get(parent) ?? new Set()
    ancestors.set(parent, names.add(nameOf(path)))
  }
}

const sorted = (names: ReadonlySet<Bytes>): readonly Bytes[] => [...names].sort()

/** A path that cannot be a source is a problem of that path alone. */
export const planWalk = (sources: readonly FilesSource[]): WalkPlan => {
  const roots = new Map<Bytes, Rules[]>()
  const ancestors = new Map<Bytes, Set<Bytes>>()
  const problems: SourceProblem[] = []
  for (const source of sources) {
    for (const path of source.paths) {
      const root = normalise(path)
      if (root === null) problems.push({ path, problem: 'is not an absolute path without ".."' })
      else {
        roots.set(root, [...(roots.get(root) ?? []), rulesOf(source, root)])
        lead(ancestors, root)
      }
    }
  }
  return {
    ancestors: new Map([...ancestors].map(([dir, names]) => [dir, sorted(names)])),
    roots,
    problems,
  }
}
