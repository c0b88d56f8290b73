/** Holes of sparse files: which are kept, and what of the file lies between them. Pure. */
import { MAX_HOLES } from '#shared/format/tree.ts'

export type Hole = readonly [offset: number, length: number]

export const NO_HOLES: readonly Hole[] = []

/** Gathered before the smallest go: sorting now and then costs less than keeping them sorted. */
const GATHERED = 16 * MAX_HOLES

export type HoleGathering = {
  add(offset: number, length: number): void
  /** The largest, by their place. */
  take(): readonly Hole[]
}

/** A line has room for so many holes; smaller ones are stored as the zeros that they read as. */
export const gatherHoles = (): HoleGathering => {
  let holes: Hole[] = []
  const largest = (): void => {
    if (holes.length > MAX_HOLES)
      holes = holes.sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, MAX_HOLES)
  }
  return {
    add: (offset, length) => {
      if (holes.push([offset, length]) > GATHERED) largest()
    },
    take: () => {
      largest()
      return holes.sort((a, b) => a[0] - b[0])
    },
  }
}

/** The first hole that ends behind `position`: they ascend. */
const firstAfter = (holes: readonly Hole[], position: number): number => {
  let low = 0
  let high = holes.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const [offset, length] = holes[middle] ?? [Infinity, 0]
    if (offset + length <= position) low = middle + 1
    else high = middle
  }
  return low
}

/** The runs of `[from, end)` that lie in no hole, at most `room` bytes of them. */
export function* dataRuns(
  holes: readonly Hole[],
  { from, end, room }: { readonly from: number; readonly end: number; readonly room: number },
): Generator<readonly [offset: number, length: number], void, void> {
  let at = from
  let left = room
  for (let next = firstAfter(holes, from); at < end && left > 0; next += 1) {
    const [offset, length] = holes[next] ?? [end, 0]
    const take = Math.min(offset - at, end - at, left)
    if (take > 0) yield [at, take]
    left -= Math.max(0, take)
    at = offset + length
  }
}

/** Where in the file `bytes` of its data after `from` end. */
export const positionAfter = (holes: readonly Hole[], from: number, bytes: number): number => {
  let last = from
  for (const [offset, length] of dataRuns(holes, { from, end: Infinity, room: bytes }))
    last = offset + length
  return last
}

/** Those before the place where a file turned out to end. */
export const holesBefore = (holes: readonly Hole[], end: number): readonly Hole[] =>
  holes.filter(([offset, length]) => offset + length <= end)

export const totalOf = (holes: readonly Hole[]): number =>
  holes.reduce((sum, [, length]) => sum + length, 0)
