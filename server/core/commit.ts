/**
 * Commit pages → intervals. The catalog keeps, for each job, which packs its backups use as intervals of sequence
 * numbers, so a backup costs rows only for what changed (FORMAT.md, "Commit, and deleting without reading"). An interval
 * without an end is *open*: the newest backup of the job uses the pack.
 */
import { fail } from '#shared/errors.ts'

/** Pages of one commit, and entries in all of them: far above what a vault of 100 TiB has. */
export const MAX_PAGES = 1000

export type Page = {
  readonly page: number
  readonly of: number
  readonly kind: 'changes' | 'whole'
  /** (pack number, live bytes); 0 = no longer used. */
  readonly packs: readonly (readonly [pack: number, live: number])[]
}

/** What a commit says: live bytes by pack, either what differs from the parent's or all of it. */
export type Staged = {
  readonly kind: 'changes' | 'whole'
  readonly live: ReadonlyMap<number, number>
}

export const isPage = (page: Page): boolean =>
  page.of >= 1 && page.of <= MAX_PAGES && page.page < page.of

/** The staged pages as one statement, or `null` while some are missing. A pack named twice breaks the protocol. */
export const joinPages = (pages: readonly Page[]): Staged | null => {
  const [first] = pages
  if (first === undefined || pages.length !== first.of) return null
  const live = new Map<number, number>()
  for (const page of pages) {
    if (page.of !== first.of || page.kind !== first.kind) return null
    for (const [pack, bytes] of page.packs) {
      if (live.has(pack))
        throw fail('PROTOCOL_VIOLATION', { problem: `pack ${pack} stands twice in a commit` })
      live.set(pack, bytes)
    }
  }
  return { kind: first.kind, live }
}

export type IntervalPlan = {
  /** Open intervals that end with the parent. */
  readonly close: readonly number[]
  /** Intervals that begin with this backup. */
  readonly open: readonly (readonly [pack: number, live: number])[]
  /** Packs that this backup uses and its parent did not: their objects are looked at before the commit. */
  readonly added: readonly number[]
}

/**
 * @param open live bytes by pack of the job's open intervals: all of them for `whole`, at least the staged ones for
 *   `changes`.
 */
export const planIntervals = (open: ReadonlyMap<number, number>, staged: Staged): IntervalPlan => {
  const close: number[] = []
  const begin: (readonly [number, number])[] = []
  const added: number[] = []
  for (const [pack, live] of staged.live) {
    const before = open.get(pack)
    if (before === live) continue
    if (before !== undefined) close.push(pack)
    if (live === 0) continue
    begin.push([pack, live])
    if (before === undefined) added.push(pack)
  }
  if (staged.kind === 'whole')
    for (const pack of open.keys()) if (!staged.live.has(pack)) close.push(pack)
  return { close, open: begin, added }
}

/** Packs that the new backup uses as far as the staged pages say: the rows that its commit locks. */
export const referenced = (staged: Staged): readonly number[] =>
  [...staged.live].filter(([, live]) => live > 0).map(([pack]) => pack)

/** Sequence numbers, ascending, as runs `[first, last]`; the newest `most` runs if there are more. */
export const asRuns = (
  sequences: readonly number[],
  most: number,
): (readonly [number, number])[] => {
  const runs: [number, number][] = []
  for (const sequence of sequences) {
    const last = runs.at(-1)
    if (last?.[1] === sequence - 1) last[1] = sequence
    else runs.push([sequence, sequence])
  }
  return runs.slice(-most)
}
