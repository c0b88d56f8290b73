/** How far a verification of level `restore` is: a place in the tree, everything before which is settled. */
import { Finding } from '#shared/api/findings.ts'
import { bytes, count } from '#shared/api/shapes.ts'
import { comparePlaces, type Place } from '#shared/format/tree-order.ts'
import type { Scope } from '#shared/read/scope.ts'
import { type Static, Type } from '#shared/schema.ts'

const At = Type.Object({
  /** Byte strings. */
  dir: Type.String(),
  name: Type.String(),
  /** The entry at the place is settled, too. */
  after: Type.Boolean(),
})

export const RestoreCheckpoint = Type.Object({
  at: At,
  files: count,
  bytes,
  problem_count: count,
  findings: Type.Array(Finding),
  /** Numbers of the objects that were read, as [first, how many]. */
  objects: Type.Array(Type.Tuple([count, count])),
})

export type RestoreCheckpoint = Static<typeof RestoreCheckpoint>
export type At = Static<typeof At>

/** What is left of the tree. */
export const scopeFrom = ({ after, ...at }: At): Scope => {
  const isLeft = (place: Place): boolean => {
    const order = comparePlaces(place, at)
    return after ? order > 0 : order >= 0
  }
  return {
    // What ends at the place itself holds nothing from there on.
    touches: (_, next) => next === null || comparePlaces(next, at) > 0,
    holds: isLeft,
  }
}

/** Numbers follow each other, for they are counted: a few runs stand for many. Of more, the last ones are left out. */
const MOST_RUNS = 10_000

export const runsOf = (numbers: Iterable<number>): [number, number][] => {
  const runs: [number, number][] = []
  for (const no of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last !== undefined && last[0] + last[1] === no) last[1] += 1
    else if (runs.length < MOST_RUNS) runs.push([no, 1])
    else break
  }
  return runs
}

export function* numbersIn(runs: RestoreCheckpoint['objects']): Generator<number, void, void> {
  for (const [first, many] of runs) for (let i = 0; i < many; i += 1) yield first + i
}
