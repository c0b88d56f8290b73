/** Which parts of a tree a restore of some paths reads, in which order. */
import { fail } from '../errors.ts'
import { type Bytes, isBelow, isDir, pathOf, type Place, type Range } from '../format/tree-order.ts'

/** `ancestor`: wanted only as a directory on the way. `entry`: asked for itself. `below`: what lies under it. */
export type Step = {
  readonly step: 'all' | 'ancestor' | 'entry' | 'below'
  readonly range: Range
}

/** Without trailing and double slashes. */
export const cleanPath = (path: Bytes): Bytes => path.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '')

/** A path as a person writes it → as the tree has it: absolute, no trailing or double slashes. `WRONG_USE` otherwise. */
export const parsePath = (text: string): Bytes => {
  const path = cleanPath(Buffer.from(text, 'utf8').toString('latin1'))
  if (!isDir(path)) {
    throw fail('WRONG_USE', { problem: `${text} is not an absolute path within a backup` })
  }
  return path
}

export const placeOf = (path: Bytes): Place => {
  const cut = path.lastIndexOf('/')
  return { dir: cut === 0 ? '/' : path.slice(0, cut), name: path.slice(cut + 1) }
}

/** Paths below others are left out; every directory on the way comes once, before what lies in it. */
export const stepsOf = (paths: readonly Bytes[]): readonly Step[] => {
  if (paths.length === 0 || paths.includes('/')) return [{ step: 'all', range: { at: 'all' } }]
  const tops = [...new Set(paths)].filter(
    (path) => !paths.some((other) => other !== path && isBelow(path, other)),
  )
  const seen = new Set<Bytes>()
  return tops.sort().flatMap((path) => stepsTo(path, seen))
}

const stepsTo = (path: Bytes, seen: Set<Bytes>): readonly Step[] => {
  const ancestors: Step[] = []
  for (let at = placeOf(path).dir; at !== '/' && !seen.has(at); at = placeOf(at).dir) {
    seen.add(at)
    ancestors.unshift({ step: 'ancestor', range: { at: 'entry', ...placeOf(at) } })
  }
  return [
    ...ancestors,
    { step: 'entry', range: { at: 'entry', ...placeOf(path) } },
    { step: 'below', range: { at: 'subtree', dir: path } },
  ]
}

/** The path that a step is about, for messages. */
export const pathOfRange = (range: Range): Bytes => {
  if (range.at === 'all') return '/'
  return range.at === 'entry' ? pathOf(range.dir, range.name) : range.dir
}
