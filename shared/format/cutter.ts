/**
 * Cuts an ordered stream of items into runs at places that only nearby hashes decide. FORMAT.md, "Cutting streams".
 *
 * An item begins a run where its hash is smaller than those of the `window` items before it and of the `window` after
 * it. So an item that comes, goes or changes moves boundaries within `window` items on either side and nowhere else:
 * a minimum measured back from the last cut, the usual rule, would let one change move all later cuts.
 */
import { KiB, MiB } from '../units.ts'

export type CutRule = {
  /** Items on either side that must have larger hashes: least items of a run, and half of what they have on average. */
  readonly window: number
  /** A run of more bytes is split. */
  readonly most: number
  /** Least bytes of a part of a split run; an item is smaller than a quarter of `most`. */
  readonly least: number
  /** A run ends before the item that would bring it above this: bounds memory. */
  readonly limit: number
}

/** For lines of about 200 bytes: runs of 256 KiB on average. */
export const TREE_RULE: CutRule = { window: 640, most: MiB, least: 64 * KiB, limit: 16 * MiB }
/** For locators of about 85 bytes: runs of 22 KiB on average. */
export const LIST_RULE: CutRule = { window: 128, most: 128 * KiB, least: 8 * KiB, limit: MiB }

export type Cutter<Item> = {
  /** `hash`: 32 bits, unsigned; `size`: bytes that the item adds to a run. Answers the runs that are complete now. */
  push(item: Item, hash: number, size: number): readonly (readonly Item[])[]
  end(): readonly (readonly Item[])[]
}

type Pending<Item> = { items: Item[]; hashes: number[]; sizes: number[]; bytes: number }

export const createCutter = <Item>(rule: CutRule): Cutter<Item> => {
  const isMinimum = createMinimum(rule.window)
  let pending: Pending<Item> = { items: [], hashes: [], sizes: [], bytes: 0 }
  const close = (count: number): readonly (readonly Item[])[] => {
    const { items, hashes, sizes } = pending
    if (count === 0) return []
    const run = {
      items: items.slice(0, count),
      hashes: hashes.slice(0, count),
      sizes: sizes.slice(0, count),
      bytes: 0,
    }
    pending = {
      items: items.slice(count),
      hashes: hashes.slice(count),
      sizes: sizes.slice(count),
      bytes: 0,
    }
    run.bytes = total(run.sizes)
    pending.bytes = total(pending.sizes)
    return split(run, rule)
  }
  return {
    push: (item, hash, size) => {
      if (4 * size > rule.most) throw new RangeError('an item is larger than a quarter of a run')
      // The item `window` places back is decided by this one.
      const boundary = isMinimum(hash)
      const at = pending.items.length - rule.window
      const runs = boundary && at > 0 ? close(at) : []
      const forced = pending.bytes + size > rule.limit ? close(pending.items.length) : []
      pending.items.push(item)
      pending.hashes.push(hash)
      pending.sizes.push(size)
      pending.bytes += size
      return forced.length === 0 ? runs : [...runs, ...forced]
    },
    end: () => close(pending.items.length),
  }
}

const total = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0)

/** Answers, for each hash, whether the one `window` places before it is smaller than the `window` on either side of it. */
const createMinimum = (window: number): ((hash: number) => boolean) => {
  const ring = new Float64Array(window)
  let count = 0
  let least = Infinity
  let leastAt = -1
  let candidate = -1
  let candidateHash = 0
  const rescan = (): void => {
    least = Infinity
    for (let i = Math.max(0, count - window); i < count; i += 1) {
      const hash = ring[i % window] ?? 0
      if (hash <= least) {
        least = hash
        leastAt = i
      }
    }
  }
  return (hash) => {
    if (candidate >= 0 && hash <= candidateHash) candidate = -1
    const boundary = candidate >= 0 && count - candidate === window
    if (boundary) candidate = -1
    if (count >= window && hash < least) {
      candidate = count
      candidateHash = hash
    }
    ring[count % window] = hash
    if (hash <= least) {
      least = hash
      leastAt = count
    }
    count += 1
    if (leastAt < count - window) rescan()
    return boundary
  }
}

/** Parts of at most `most` bytes, each cut at its smallest hash (the first of equals) that leaves `least` on both sides. */
const split = <Item>(run: Pending<Item>, rule: CutRule): readonly (readonly Item[])[] => {
  if (run.bytes <= rule.most) return [run.items]
  const starts = [0]
  for (const size of run.sizes) starts.push((starts.at(-1) ?? 0) + size)
  const offset = (index: number): number => starts[index] ?? 0
  const parts: (readonly Item[])[] = []
  const open: (readonly [number, number])[] = [[0, run.items.length]]
  for (let range = open.pop(); range !== undefined; range = open.pop()) {
    const [from, to] = range
    if (offset(to) - offset(from) <= rule.most) {
      parts.push(run.items.slice(from, to))
      continue
    }
    let cut = -1
    let smallest = Infinity
    for (let i = from + 1; i < to; i += 1) {
      if (offset(i) - offset(from) < rule.least || offset(to) - offset(i) < rule.least) continue
      const hash = run.hashes[i] ?? 0
      if (hash < smallest) {
        smallest = hash
        cut = i
      }
    }
    open.push([cut, to], [from, cut])
  }
  return parts
}
