/** Walks the tree of a backup, or a part of it, segment by segment; what cannot be read is said as a range of places. */
import { Failure, fail } from '../errors.ts'
import { type Fenced, readFence } from '../format/fence.ts'
import type { FullLocator, Locator } from '../format/locator.ts'
import { readSegment, type SegmentLine } from '../format/segment.ts'
import { comparePlaces, type Place, type Range } from '../format/tree-order.ts'
import { ahead } from './ahead.ts'
import { factsOf, type ObjectReader } from './object.ts'
import type { PackRows } from './packs.ts'
import { type Scope, scopeOf } from './scope.ts'

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
 * The entries wanted, in order, and what is lost of them, in one walk. Throws nothing for what lies in the vault. `depth`:
 * segments read ahead; 0 for who may stop after the first.
 */
export async function* walkTree(
  tree: TreeOf,
  wanted: Range | Scope,
  depth = AHEAD,
): AsyncGenerator<TreePart, void, void> {
  const scope = 'holds' in wanted ? wanted : scopeOf(wanted)
  const root = { first: START, next: null, locator: tree.fence }
  const reaches = descend(tree, { reach: root, level: null }, scope)
  yield* ahead(reaches, depth, async (reach) =>
    'part' in reach ? reach : readReach(tree, reach, scope),
  )
}

const lost = (from: Place, to: Place | null, error: unknown): Lost => {
  if (!(error instanceof Failure)) throw error
  return { part: 'lost', from, to, failure: error }
}

type Node = { readonly reach: Reach<FullLocator>; readonly level: number | null }

/** The tree's segments that can hold wanted entries, or what is lost with a part of the fence. */
async function* descend(
  tree: TreeOf,
  node: Node,
  scope: Scope,
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
    yield* touching(fence.items, next, scope)
    return
  }
  for (const reach of touching(fence.children, next, scope)) {
    yield* descend(tree, { reach, level: fence.level - 1 }, scope)
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
  scope: Scope,
): readonly Reach<L>[] =>
  items
    .map((item, i) => ({ ...item, next: items[i + 1]?.first ?? end }))
    .filter(({ first, next }) => scope.touches(first, next))

const readReach = async (
  { objects, packs }: TreeOf,
  reach: Reach<Locator>,
  scope: Scope,
): Promise<TreePart> => {
  try {
    const row = await packs.row(reach.locator[0])
    const entries = [...readSegment(await objects.segment(row, reach.locator))]
    checkPlaces(entries, reach)
    return { part: 'entries', entries: entries.filter((entry) => scope.holds(entry)) }
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
