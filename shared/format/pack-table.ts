/** What the objects of bare pack numbers are: a shallow tree over rows by number. FORMAT.md, "Pack table". */
import { fail } from '../errors.ts'
import { jsonText } from './byte-text.ts'
import {
  decodeLines,
  encodeLines,
  levelOf,
  parseJson,
  type Sealed,
  verifySegment,
} from './lines.ts'
import {
  type FullLocator,
  fullLocatorText,
  isHash,
  isKey,
  isPackNo,
  isSize,
  type PackNo,
  parseFullLocator,
} from './locator.ts'

/** One object: its key below the bucket's prefix, bytes, SHA-256 of the ciphertext, hash of age header and nonce. */
export type PackRow = {
  readonly pack: PackNo
  readonly key: string
  readonly size: number
  readonly sha256: string
  readonly headerHash: string
}

export type TableSegment = Sealed & { readonly level: number; readonly first: PackNo }

const FORMAT = 'holdfast/packs/v1'
/** Numbers that one leaf covers, and children of an upper segment: fixed, so that ranges of old packs repeat. */
const FAN = 256

/** The leaves; rows strictly ascending by number. At least one, also for no rows. */
export const packTableLevel = (rows: readonly PackRow[]): readonly TableSegment[] =>
  grouped(
    rows.map((row) => ({ pack: row.pack, line: rowText(row) })),
    0,
    FAN,
  )

/** The level above; the level with one segment is the root. */
export const nextPackTableLevel = (
  placed: readonly { readonly segment: TableSegment; readonly locator: FullLocator }[],
): readonly TableSegment[] => {
  const level = (placed[0]?.segment.level ?? 0) + 1
  const items = placed.map(({ segment, locator }) => ({
    pack: segment.first,
    line: `[${segment.first},${fullLocatorText(locator)}]`,
  }))
  // Few enough for one segment are the root, however far their numbers (epochs) lie apart.
  return grouped(items, level, items.length <= FAN ? Infinity : FAN ** (level + 1))
}

type Item = { readonly pack: PackNo; readonly line: string }

const grouped = (items: readonly Item[], level: number, span: number): readonly TableSegment[] => {
  const groups: Item[][] = []
  let last: Item | undefined
  for (const item of items) {
    if (last !== undefined && last.pack >= item.pack) {
      throw new RangeError('pack numbers must come in ascending order')
    }
    const same = last !== undefined && Math.floor(last.pack / span) === Math.floor(item.pack / span)
    if (same) groups.at(-1)?.push(item)
    else groups.push([item])
    last = item
  }
  return (groups.length === 0 ? [[]] : groups).map((group) => ({
    ...encodeLines(
      FORMAT,
      `,"level":${level}`,
      group.map((item) => item.line),
    ),
    level,
    first: group[0]?.pack ?? 0,
  }))
}

const rowText = (row: PackRow): string =>
  `[${row.pack},${jsonText(row.key)},${row.size},"${row.sha256}","${row.headerHash}"]`

export type PackTable =
  | { readonly level: 0; readonly rows: readonly PackRow[] }
  | { readonly level: number; readonly children: readonly TableChild[] }
type TableChild = { readonly first: PackNo; readonly locator: FullLocator }

/** One segment of a pack table. `DAMAGED` where its numbers are not strictly ascending. */
export const readPackTable = (bytes: Uint8Array): PackTable => {
  const { header, lines } = decodeLines(bytes, FORMAT)
  const level = levelOf(header)
  const values = lines.map(parseJson)
  if (level === 0) {
    const rows = values.map(parseRow)
    ascending(rows.map((row) => row.pack))
    return { level: 0, rows }
  }
  const children = values.map(parseChild)
  ascending(children.map((child) => child.first))
  if (children.length === 0) throw damaged('it is empty')
  return { level, children }
}

const ascending = (numbers: readonly PackNo[]): void => {
  numbers.forEach((number, i) => {
    if (i > 0 && number <= (numbers[i - 1] ?? 0)) throw damaged('its numbers are not in order')
  })
}

const parseRow = (value: unknown): PackRow => {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  const [pack, key, size, sha256, headerHash] = list
  if (list.length !== 5 || !isPackNo(pack) || !isKey(key) || !isSize(size)) {
    throw damaged('it has a row that is none')
  }
  if (!isHash(sha256) || !isHash(headerHash)) throw damaged('it has a row without hashes')
  return { pack, key, size, sha256, headerHash }
}

const parseChild = (value: unknown): TableChild => {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  const [first, locator] = list
  if (list.length !== 2 || !isPackNo(first)) throw damaged('it has a child that is none')
  return { first, locator: parseFullLocator(locator) }
}

/**
 * The rows of `packs` as a step machine: yields the locator of each table segment that it wants, receives that
 * segment's bytes, returns the rows that exist. It checks each segment's SHA-256.
 */
export function* findPacks(
  root: FullLocator,
  packs: Iterable<PackNo>,
): Generator<FullLocator, ReadonlyMap<PackNo, PackRow>, Uint8Array> {
  const found = new Map<PackNo, PackRow>()
  const wanted = [...new Set(packs)].sort((a, b) => a - b)
  yield* descend({ locator: root, level: null }, wanted, found)
  return found
}

/** Every row of the table, in order. */
export function* allPacks(
  root: FullLocator,
): Generator<FullLocator, readonly PackRow[], Uint8Array> {
  const found = new Map<PackNo, PackRow>()
  yield* descend({ locator: root, level: null }, null, found)
  return [...found.values()]
}

type Node = { readonly locator: FullLocator; readonly level: number | null }

function* descend(
  node: Node,
  wanted: readonly PackNo[] | null,
  found: Map<PackNo, PackRow>,
): Generator<FullLocator, void, Uint8Array> {
  const bytes = yield node.locator
  verifySegment(bytes, node.locator)
  const table = readPackTable(bytes)
  if (node.level !== null && table.level !== node.level) throw damaged('its level is not the next')
  if ('rows' in table) {
    for (const row of pick(table.rows, wanted)) found.set(row.pack, row)
    return
  }
  let from = 0
  for (const [i, child] of table.children.entries()) {
    const next = table.children[i + 1]?.first ?? Infinity
    const to = wanted === null ? 0 : firstAtLeast(wanted, next, from)
    if (wanted === null || to > from) {
      const below = { locator: child.locator, level: table.level - 1 }
      yield* descend(below, wanted?.slice(from, to) ?? null, found)
    }
    from = to
  }
}

/** The first index from `from` on whose number is at least `least`. */
const firstAtLeast = (numbers: readonly PackNo[], least: PackNo, from: number): number => {
  let i = from
  while (i < numbers.length && (numbers[i] ?? least) < least) i += 1
  return i
}

const pick = (rows: readonly PackRow[], wanted: readonly PackNo[] | null): readonly PackRow[] => {
  if (wanted === null) return rows
  const numbers = new Set(wanted)
  return rows.filter((row) => numbers.has(row.pack))
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'A pack table', problem })
