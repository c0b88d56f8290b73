/** Walks the tree of a backup, or a part of it, segment by segment; what cannot be read is said as a range of places. */
import { Failure, fail } from '../errors.ts'
import { type Fenced, readFence } from '../format/fence.ts'
import type { FullLocator, Locator } from '../format/locator.ts'
import { readSegment, type SegmentLine } from '../format/segment.ts'
import { comparePlaces, type Place, type Range, sideOf } from '../format/tree-order.ts'
import { ahead } from './ahead.ts'
import { factsOf, type ObjectReader } from './object.ts'
import type { PackRows } from './packs.ts'

/** Entries in order, or the places `[from, to)` of which nothing is known; `to` null is the end of the tree. */
export type TreePart =
  | { readonly part: 'entries'; readonly entries: readonly SegmentLine[] }
  | {
      readonly part: 'lost'
      readonly from: Place
      readonly to: Place | null
      readonly failure: Failure
    }

/** Segments read ahead of the one in use: 1 MiB each at most. */
const AHEAD = 4
const START: Place = { dir: '/', name: '' }

export type TreeOf = {
  readonly objects: ObjectReader
  readonly packs: PackRows
  readonly fence: FullLocator
}

type Reach<L> = Fenced<L> & { readonly next: Place | null }
type Lost = Extract<TreePart, { part: 'lost' }>

/**
 * The entries of `range` in order, and what is lost of it. Throws nothing for what lies in the vault. `depth`: segments
 * read ahead; 0 for who may stop after the first.
 */
export async function* walkTree(
  tree: TreeOf,
  range: Range,
  depth = AHEAD,
): AsyncGenerator<TreePart, void, void> {
  const root = { first: START, next: null, locator: tree.fence }
  const reaches = descend(tree, { reach: root, level: null }, range)
  yield* ahead(reaches, depth, async (reach) =>
    'part' in reach ? reach : readReach(tree, reach, range),
  )
}

const lost = (from: Place, to: Place | null, error: unknown): Lost => {
  if (!(error instanceof Failure)) throw error
  return { part: 'lost', from, to, failure: error }
}

type Node = { readonly reach: Reach<FullLocator>; readonly level: number | null }

/** The tree's segments that can hold entries of the range, or what is lost with a part of the fence. */
async function* descend(
  tree: TreeOf,
  node: Node,
  range: Range,
): AsyncGenerator<Reach<Locator> | Lost, void, void> {
  const { first, next, locator } = node.reach
  let fence: ReturnType<typeof readFence>
  try {
    fence = readFence(await tree.objects.segment(factsOf(locator), locator))
    checkFence(fence, node)
  } catch (error) {
    yield lost(first, next, error)
    return
  }
  if ('items' in fence) {
    yield* touching(fence.items, next, range)
    return
  }
  for (const reach of touching(fence.children, next, range)) {
    yield* descend(tree, { reach, level: fence.level - 1 }, range)
  }
}

/** A signed fence can still be one that no writer makes: it must be where, and as deep as, the one above says. */
const checkFence = (fence: ReturnType<typeof readFence>, { reach, level }: Node): void => {
  const entries = 'items' in fence ? fence.items : fence.children
  if (level !== null && fence.level !== level) throw damaged('its level is not the next')
  const first = entries[0]?.first
  if (level !== null && (first === undefined || comparePlaces(first, reach.first) !== 0)) {
    throw damaged('it does not begin where the level above says')
  }
  const last = entries.at(-1)?.first
  if (last !== undefined && reach.next !== null && comparePlaces(last, reach.next) >= 0) {
    throw damaged('it reaches into the next one')
  }
}

/** Each item reaches up to the first place of the next one. */
const touching = <L>(
  items: readonly Fenced<L>[],
  end: Place | null,
  range: Range,
): readonly Reach<L>[] => {
  // What ends at a single wanted entry does not hold it; what ends at the first known one of a folder may hold others.
  const least = range.at === 'entry' ? 1 : 0
  return items
    .map((item, i) => ({ ...item, next: items[i + 1]?.first ?? end }))
    .filter(({ first, next }) => {
      return sideOf(range, first) <= 0 && (next === null || sideOf(range, next) >= least)
    })
}

const readReach = async (
  { objects, packs }: TreeOf,
  reach: Reach<Locator>,
  range: Range,
): Promise<TreePart> => {
  try {
    const row = await packs.row(reach.locator[0])
    const entries = [...readSegment(await objects.segment(row, reach.locator))]
    checkPlaces(entries, reach)
    return { part: 'entries', entries: entries.filter((entry) => sideOf(range, entry) === 0) }
  } catch (error) {
    return lost(reach.first, reach.next, error)
  }
}

const checkPlaces = (entries: readonly SegmentLine[], { first, next }: Reach<Locator>): void => {
  const [begin] = entries
  const last = entries.at(-1)
  if (begin === undefined || last === undefined || comparePlaces(begin, first) !== 0) {
    throw damaged('a segment of the tree does not begin where it says')
  }
  if (next !== null && comparePlaces(last, next) >= 0) {
    throw damaged('a segment of the tree reaches into the next one')
  }
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'The fence', problem })
