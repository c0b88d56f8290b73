/** What the records of a vault say about each other: which are missing, and whether each follows the one before. */

export type Dated = {
  readonly job: string
  readonly sequence: number
  /** Hash of the record before it in its job, whether or not that is still kept. */
  readonly previous: string | null
  /** Hash of this record. */
  readonly sha256: string
  /** Sequence numbers kept when it was written. */
  readonly kept: readonly (readonly [first: number, last: number])[]
}

export type Gap =
  /** Kept when the newest record was written, and not here: removed since, or withheld. */
  | {
      readonly gap: 'missing'
      readonly job: string
      readonly first: number
      readonly last: number
    }
  /** Its record does not follow the one of the number before it. */
  | { readonly gap: 'broken'; readonly job: string; readonly sequence: number }
  /** There are two records of this number. */
  | { readonly gap: 'double'; readonly job: string; readonly sequence: number }

/** `records` by job, then ascending by sequence. */
export const historyGaps = (records: readonly Dated[]): readonly Gap[] =>
  [...Map.groupBy(records, ({ job }) => job).values()].flatMap((list) => [
    ...missingIn(list),
    ...list.flatMap((record, i) => brokenAt(record, list[i - 1])),
  ])

const brokenAt = (record: Dated, before: Dated | undefined): Gap[] => {
  const { job, sequence } = record
  if (before?.sequence === sequence) return [{ gap: 'double', job, sequence }]
  if (before?.sequence !== sequence - 1) return []
  return record.previous === before.sha256 ? [] : [{ gap: 'broken', job, sequence }]
}

const missingIn = (list: readonly Dated[]): Gap[] => {
  const newest = list.at(-1)
  if (newest === undefined) return []
  const present = list.map(({ sequence }) => sequence)
  return newest.kept.flatMap(([first, last]) => {
    const gaps: Gap[] = []
    let next = first
    for (const sequence of present) {
      if (sequence < next || sequence > last) continue
      if (sequence > next)
        gaps.push({ gap: 'missing', job: newest.job, first: next, last: sequence - 1 })
      next = sequence + 1
    }
    if (next <= last && next < newest.sequence) {
      gaps.push({
        gap: 'missing',
        job: newest.job,
        first: next,
        last: Math.min(last, newest.sequence - 1),
      })
    }
    return gaps
  })
}
