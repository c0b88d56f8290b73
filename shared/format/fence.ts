/** Which segment holds a place: a shallow tree over the first places of all segments. FORMAT.md, "Fence". */
import { fail } from '../errors.ts'
import { bytesField, parseBytes } from './byte-text.ts'
import { createCutter, TREE_RULE } from './cutter.ts'
import { decodeLines, encodeLines, levelOf, parseJson, verifySegment } from './lines.ts'
import {
  type FullLocator,
  fullLocatorText,
  type Locator,
  locatorText,
  parseFullLocator,
  parseLocator,
} from './locator.ts'
import { createNameHash } from './name-hash.ts'
import type { Segment } from './segment.ts'
import { comparePlaces, isDir, isName, type Place, type Range, sideOf } from './tree-order.ts'

export type FenceSegment = Segment & { readonly level: number }
export type Fenced<L> = { readonly first: Place; readonly locator: L }

const FORMAT = 'holdfast/fence/v1'

/** The leaves, from the segments of the tree in order and where they lie. At least one, also for an empty tree. */
export const fenceLevel = (
  segmentKey: Uint8Array,
  items: Iterable<Fenced<Locator>>,
): readonly FenceSegment[] => levelFrom(segmentKey, 0, lineItems(items, locatorText))

/** The level above; the level with one segment is the root. */
export const nextFenceLevel = (
  segmentKey: Uint8Array,
  placed: readonly { readonly segment: FenceSegment; readonly locator: FullLocator }[],
): readonly FenceSegment[] => {
  const level = (placed[0]?.segment.level ?? 0) + 1
  const items = placed.map(({ segment, locator }) => ({ first: segment.first, locator }))
  return levelFrom(segmentKey, level, lineItems(items, fullLocatorText))
}

type Item = { readonly first: Place; readonly line: string }

function* lineItems<L>(
  items: Iterable<Fenced<L>>,
  text: (locator: L) => string,
): Generator<Item, void, void> {
  for (const { first, locator } of items) {
    const dir = bytesField('dir', 'dirb', first.dir)
    yield { first, line: `{${dir},${bytesField('n', 'nb', first.name)},"at":${text(locator)}}` }
  }
}

const levelFrom = (
  segmentKey: Uint8Array,
  level: number,
  items: Iterable<Item>,
): readonly FenceSegment[] => {
  const hashOf = createNameHash(segmentKey)
  const cutter = createCutter<Item>(TREE_RULE)
  const runs: (readonly Item[])[] = []
  for (const item of items) {
    const { dir, name } = item.first
    runs.push(...cutter.push(item, hashOf(dir, name), Buffer.byteLength(item.line) + 1))
  }
  runs.push(...cutter.end())
  // A level above has at most half as many segments unless lines are huge; one that does not shrink becomes the root.
  const kept = runs.length === 0 ? [[]] : runs
  return kept.map((run) => ({
    ...encodeLines(
      FORMAT,
      `,"level":${level}`,
      run.map((item) => item.line),
    ),
    first: run[0]?.first ?? { dir: '/', name: '' },
    level,
  }))
}

export type Fence =
  | { readonly level: 0; readonly items: readonly Fenced<Locator>[] }
  | { readonly level: number; readonly children: readonly Fenced<FullLocator>[] }

/** One segment of a fence. `DAMAGED` where its places are not strictly ascending. */
export const readFence = (bytes: Uint8Array): Fence => {
  const { header, lines } = decodeLines(bytes, FORMAT)
  const level = levelOf(header)
  const raws = lines.map(parseFenceLine)
  raws.forEach((raw, i) => {
    const before = raws[i - 1]
    if (before !== undefined && comparePlaces(before.first, raw.first) >= 0) {
      throw damaged('its places are not in order')
    }
  })
  if (level === 0) {
    const items = raws.map((raw) => ({ first: raw.first, locator: parseLocator(raw.at) }))
    return { level: 0, items }
  }
  if (raws.length === 0) throw damaged('it is empty')
  const children = raws.map((raw) => ({ first: raw.first, locator: parseFullLocator(raw.at) }))
  return { level, children }
}

type RawFence = { dir?: unknown; dirb?: unknown; n?: unknown; nb?: unknown; at?: unknown }
const isRaw = (value: unknown): value is RawFence => typeof value === 'object' && value !== null

const parseFenceLine = (line: string): { readonly first: Place; readonly at: unknown } => {
  const raw = parseJson(line)
  if (!isRaw(raw)) throw damaged('a line is not an object')
  const dir = parseBytes(raw.dir, raw.dirb)
  const name = parseBytes(raw.n, raw.nb)
  if (dir === undefined || name === undefined || !isDir(dir) || !isName(name)) {
    throw damaged('it has a place that cannot be')
  }
  return { first: { dir, name }, at: raw.at }
}

/**
 * The segments of the tree that can hold entries of `range`, in order, as a step machine: yields the locator of each
 * fence segment that it wants, receives that segment's bytes (the decoded frame's run), returns where the tree's
 * segments lie. It checks each segment's SHA-256. One listing needs one fence segment a level, rarely two.
 */
export function* locateSegments(
  root: FullLocator,
  range: Range,
): Generator<FullLocator, readonly Fenced<Locator>[], Uint8Array> {
  const found: Fenced<Locator>[] = []
  yield* descend({ locator: root, first: null, level: null }, range, found)
  return found
}

type Child = {
  readonly locator: FullLocator
  readonly first: Place | null
  readonly level: number | null
}

function* descend(
  child: Child,
  range: Range,
  found: Fenced<Locator>[],
): Generator<FullLocator, void, Uint8Array> {
  const bytes = yield child.locator
  verifySegment(bytes, child.locator)
  const fence = readFence(bytes)
  if (child.level !== null && fence.level !== child.level)
    throw damaged('its level is not the next')
  const entries = 'items' in fence ? fence.items : fence.children
  const first = entries[0]?.first
  if (child.first !== null && (first === undefined || comparePlaces(first, child.first) !== 0)) {
    throw damaged('it does not begin where the level above says')
  }
  if ('items' in fence) found.push(...touching(fence.items, range))
  else {
    for (const { locator, first } of touching(fence.children, range)) {
      yield* descend({ locator, first, level: fence.level - 1 }, range, found)
    }
  }
}

/** Each item reaches up to the first place of the next one. */
const touching = <L>(items: readonly Fenced<L>[], range: Range): readonly Fenced<L>[] =>
  items.filter(({ first }, i) => {
    const next = items[i + 1]
    if (sideOf(range, first) > 0) return false
    if (next === undefined) return true
    const side = sideOf(range, next.first)
    return side > 0 || (side === 0 && range.at !== 'entry')
  })

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'A fence', problem })
