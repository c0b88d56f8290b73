/** What a run has done so far; stages add to it, reports are made from it. */
import type { Amount, Sample } from '#shared/estimate.ts'
import type { Ms } from '#shared/units.ts'
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
  /** Of files that are to be read, or were: a part of what was looked at. */
  bytesToRead: number
  /** Everything has been looked at. */
  isScanned: boolean
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
  bytesToRead: 0,
  isScanned: false,
})

/** What is looked at and, where it had to be, read. `before`: what the backup before had. */
export const sampleOf = (tally: Tally, at: Ms, before: Amount | null): Sample => {
  const { files, bytesSource, bytesToRead, bytesRead, isScanned } = tally
  const waiting = Math.max(0, bytesToRead - bytesRead)
  const looked = { files, bytes: bytesSource }
  const whole = isScanned ? { ...looked, exact: true } : before && { ...before, exact: false }
  return { at, done: { files, bytes: Math.max(0, bytesSource - waiting) }, whole }
}

export const countsOf = (tally: Tally): Counts => ({
  files: tally.files,
  directories: tally.directories,
  others: tally.others,
  changed: tally.changed,
  unchanged: tally.unchanged,
  skipped: tally.skipped,
  errors: tally.errors,
})
