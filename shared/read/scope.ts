/** Several ranges of a tree as one: what is wanted of it in a single walk. */
import { comparePlaces, type Place, type Range, sideOf } from '../format/tree-order.ts'

export type Scope = {
  /** Whether wanted entries may lie from `first` up to, not including, `next`; null is the end of the tree. */
  touches(first: Place, next: Place | null): boolean
  holds(place: Place): boolean
}

/** Where a range begins: no name is empty, so that a folder's first entry comes after this. */
const beginOf = (range: Range): Place => {
  if (range.at === 'entry') return range
  return { dir: range.at === 'all' ? '/' : range.dir, name: '' }
}

const WIDTH = { all: 0, subtree: 1, listing: 2, entry: 3 } as const

/** Ascending; what begins together with a wider one comes after it. */
const compareRanges = (a: Range, b: Range): number =>
  comparePlaces(beginOf(a), beginOf(b)) || WIDTH[a.at] - WIDTH[b.at]

/** In the order of the tree, without those that lie in another. */
const disjoint = (ranges: readonly Range[]): readonly Range[] => {
  const kept: Range[] = []
  let last: Range | undefined
  for (const range of ranges.toSorted(compareRanges)) {
    if (last !== undefined && sideOf(last, beginOf(range)) === 0) continue
    kept.push(range)
    last = range
  }
  return kept
}

/** The first of `ranges` that does not end before the place: the only one that can hold it. */
const reaching = (ranges: readonly Range[], place: Place): Range | undefined => {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >> 1
    const range = ranges[middle]
    if (range !== undefined && sideOf(range, place) > 0) low = middle + 1
    else high = middle
  }
  return ranges[low]
}

const touchesOne = (range: Range, next: Place | null): boolean =>
  // What ends at a single wanted entry does not hold it; what ends at the first known one of a folder may hold others.
  next === null || sideOf(range, next) >= (range.at === 'entry' ? 1 : 0)

/** The ranges may overlap; where there are several, none has an `after`. */
export const scopeOf = (...wanted: readonly Range[]): Scope => {
  const ranges = disjoint(wanted)
  return {
    touches: (first, next) => {
      const range = reaching(ranges, first)
      return range !== undefined && touchesOne(range, next)
    },
    holds: (place) => {
      const range = reaching(ranges, place)
      return range !== undefined && sideOf(range, place) === 0
    },
  }
}
