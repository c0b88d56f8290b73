/** What a run has done so far; stages add to it, reports are made from it. */
import type { Counts } from '#shared/protocol/reports.ts'

export type Tally = {
  phase: 'scanning' | 'uploading' | 'committing'
  files: number
  directories: number
  others: number
  changed: number
  unchanged: number
  skipped: number
  errors: number
  bytesSource: number
  bytesRead: number
  bytesNew: number
  bytesStored: number
}

export const newTally = (): Tally => ({
  phase: 'scanning',
  files: 0,
  directories: 0,
  others: 0,
  changed: 0,
  unchanged: 0,
  skipped: 0,
  errors: 0,
  bytesSource: 0,
  bytesRead: 0,
  bytesNew: 0,
  bytesStored: 0,
})

export const countsOf = (tally: Tally): Counts => ({
  files: tally.files,
  directories: tally.directories,
  others: tally.others,
  changed: tally.changed,
  unchanged: tally.unchanged,
  skipped: tally.skipped,
  errors: tally.errors,
})
