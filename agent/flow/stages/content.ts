/** Where the content of one file lies, put together in order while its pieces find their places. */
import {
  contentLevel,
  createContentLister,
  type ContentLister,
} from '#shared/format/content-list.ts'
import type { Locator } from '#shared/format/locator.ts'
import { MAX_INLINE } from '#shared/format/tree.ts'
import { createLedger, type Uses } from '../../core/live.ts'
import type { Crew } from '../crew.ts'
import type { SegmentBytes, Segments } from './segments.ts'

export type FileContent = {
  readonly size: number
  /** At most 64, or `more`. */
  readonly content: readonly Locator[]
  readonly more: readonly Locator[]
  /** What content lists and the blobs behind them use; empty without lists, whose line says it all. */
  readonly uses: Uses
}

export type Assembly = {
  /** The number of the next piece. */
  expect(): number
  /** Piece `index` lies there; pieces come in any order. */
  place(index: number, locator: Locator): void
  /** No more pieces: `done` is called when all are placed, and content lists written. */
  finish(done: (content: FileContent) => void): void
}

type Listing = { readonly lister: ContentLister; readonly lists: Promise<Locator>[] }

const listed = async (
  below: readonly Locator[],
  segments: Segments,
): Promise<readonly Locator[][]> => {
  const levels: Locator[][] = []
  let last = below
  for (let level = 1; last.length > MAX_INLINE; level += 1) {
    const lists = contentLevel(last, level)
    const placed = await Promise.all(lists.map(async (list) => await segments.put(list)))
    levels.push(placed)
    last = placed
  }
  return levels
}

/** Of a file with several parts. Holds at most 64 locators and those that came early; the rest goes into content lists at once. */
export const createAssembly = (segments: Segments, crew: Crew): Assembly => {
  const ledger = createLedger()
  const early = new Map<number, Locator>()
  let inline: Locator[] = []
  let listing: Listing | null = null
  let expected = 0
  let next = 0
  let size = 0
  let whenDone: ((content: FileContent) => void) | null = null

  const put = (lists: Promise<Locator>[], list: SegmentBytes): void => {
    const promise = segments.put(list)
    // Awaited in `writeLists`; until then a failure, which stops the run by other ways, must not count as unowned.
    promise.catch(() => undefined)
    lists.push(promise)
  }
  const list = (locator: Locator): void => {
    listing ??= { lister: createContentLister(0), lists: [] }
    for (const segment of listing.lister.push(locator)) put(listing.lists, segment)
  }
  const take = (locator: Locator): void => {
    size += locator[4]
    ledger.add(locator[0], locator[4])
    if (listing !== null) list(locator)
    else if (inline.length < MAX_INLINE) inline.push(locator)
    else {
      for (const earlier of [...inline, locator]) list(earlier)
      inline = []
    }
  }
  const writeLists = async ({ lister, lists }: Listing): Promise<FileContent> => {
    for (const segment of lister.end()) put(lists, segment)
    const lowest = await Promise.all(lists)
    const upper = await listed(lowest, segments)
    for (const locator of [lowest, ...upper].flat()) ledger.add(locator[0], locator[4])
    return { size, content: [], more: upper.at(-1) ?? lowest, uses: ledger.uses() }
  }
  const complete = (done: (content: FileContent) => void): void => {
    const lists = listing
    if (lists === null) done({ size, content: inline, more: [], uses: [] })
    else crew.run(async () => done(await writeLists(lists)))
  }
  return {
    expect: () => {
      expected += 1
      return expected - 1
    },
    place: (index, locator) => {
      early.set(index, locator)
      for (let found = early.get(next); found !== undefined; found = early.get(next)) {
        early.delete(next)
        next += 1
        take(found)
      }
      if (next === expected && whenDone !== null) complete(whenDone)
    },
    finish: (done) => {
      if (next === expected) complete(done)
      else whenDone = done
    },
  }
}
