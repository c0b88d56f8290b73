/** What of a backup is wanted: paths and globs, each with everything below it. */
import {
  type Bytes,
  compareDirs,
  comparePlaces,
  isBelow,
  pathOf,
  type Place,
  type Range,
} from '../format/tree-order.ts'
import type { Glob } from './glob.ts'
import { createRecent } from './recent.ts'
import { type Scope, scopeOf } from './scope.ts'
import { placeOf } from './select.ts'

export type Wish = { readonly paths: readonly Bytes[]; readonly globs: readonly Glob[] }

export type Selection = {
  readonly everything: boolean
  /** The parts of the tree that can hold something wanted. Directories on the way to it are not among them. */
  readonly scope: Scope
  /** Whether what lies in this directory is wanted, whatever it is called. */
  readonly covers: (dir: Bytes) => boolean
  readonly wants: (place: Place) => boolean
}

/** Directories whose answer is remembered: those on the way to the present one, and its neighbours. */
const REMEMBERED = 512

/** Without those that lie below others, in the order of the tree. */
const topsOf = (paths: readonly Bytes[]): readonly Bytes[] => {
  const tops: Bytes[] = []
  for (const path of paths.toSorted(compareDirs)) {
    const last = tops.at(-1)
    if (last === undefined || !isBelow(path, last)) tops.push(path)
  }
  return tops
}

const rangeOf = ({ top }: Glob): Range =>
  top === '/' ? { at: 'all' } : { at: 'subtree', dir: top }

const rangesOf = ({ paths, globs }: Wish): readonly Range[] => [
  ...topsOf(paths).flatMap((path): readonly Range[] => [
    { at: 'entry', ...placeOf(path) },
    { at: 'subtree', dir: path },
  ]),
  ...globs.map(rangeOf),
]

const EVERYTHING: Selection = {
  everything: true,
  scope: scopeOf({ at: 'all' }),
  covers: () => true,
  wants: () => true,
}

/** No wish at all is everything. */
export const selectionOf = (wish: Wish): Selection => {
  const { globs } = wish
  if (wish.paths.length + globs.length === 0 || wish.paths.includes('/')) return EVERYTHING
  const paths = new Set(wish.paths)
  const known = createRecent<boolean>(REMEMBERED)
  const asked = (path: Bytes, dir: Bytes): boolean =>
    paths.has(path) || globs.some((glob) => isBelow(dir, glob.top) && glob.matches(path))
  const covers = (dir: Bytes): boolean => {
    if (dir === '/') return false
    const before = known.get(dir)
    if (before !== undefined) return before
    const above = placeOf(dir).dir
    const answer = covers(above) || asked(dir, above)
    known.set(dir, answer)
    return answer
  }
  return {
    everything: false,
    scope: scopeOf(...rangesOf(wish)),
    covers,
    wants: ({ dir, name }) => covers(dir) || asked(pathOf(dir, name), dir),
  }
}

/** Finds out which wishes a backup does not fulfil. */
export type Missing = {
  saw(place: Place): void
  /** Of these places nothing is known: what may lie there is not missing. */
  lost(from: Place, to: Place | null): void
  /** Paths and globs that nothing was seen of, in the order of the tree. */
  rest(): readonly Bytes[]
}

export const missingOf = ({ paths, globs }: Wish): Missing => {
  const openPaths = new Set(paths)
  openPaths.delete('/')
  const places = [...openPaths]
    .map((path) => ({ path, place: placeOf(path) }))
    .sort((a, b) => comparePlaces(a.place, b.place))
  const openGlobs = new Set(globs)
  return {
    saw: ({ dir, name }) => {
      if (openPaths.size + openGlobs.size === 0) return
      const path = pathOf(dir, name)
      openPaths.delete(path)
      for (const glob of openGlobs)
        if (isBelow(dir, glob.top) && glob.matches(path)) openGlobs.delete(glob)
    },
    lost: (from, to) => {
      for (const { path, place } of places)
        if (comparePlaces(place, from) >= 0 && (to === null || comparePlaces(place, to) < 0))
          openPaths.delete(path)
      for (const glob of openGlobs)
        if (scopeOf(rangeOf(glob)).touches(from, to)) openGlobs.delete(glob)
    },
    rest: () => [
      ...places.filter(({ path }) => openPaths.has(path)).map(({ path }) => path),
      ...[...openGlobs].map(({ pattern }) => pattern),
    ],
  }
}
