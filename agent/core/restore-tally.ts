/** What a restore has done so far, as the control plane hears of it (PROTOCOL.md, `restore.progress`). */
import type { Reports } from '#shared/protocol/reports.ts'
import { noCounts, type RestoreCounts } from './restore-events.ts'

export type RestoreTally = {
  phase: Reports['restore.progress']['phase']
  readonly counts: RestoreCounts
  /** Bytes of objects that were asked for, each time that they were. */
  bytesFetched: number
  /** What is wanted in all; 0 until it is known. */
  filesTotal: number
  bytesTotal: number
}

export const newRestoreTally = (): RestoreTally => ({
  phase: 'checking',
  counts: noCounts(),
  bytesFetched: 0,
  filesTotal: 0,
  bytesTotal: 0,
})

/** Everything that is not as it was asked for, whoever is to blame. */
export const failedIn = ({ damaged, lost, failed, absent }: RestoreCounts): number =>
  damaged + lost + failed + absent

type Amounts = Pick<Reports['restore.finish'], 'counts' | 'bytes_restored' | 'bytes_fetched'>

export const amountsOf = ({ counts, bytesFetched }: RestoreTally): Amounts => ({
  counts: {
    files: counts.files,
    directories: counts.directories,
    others: counts.others + counts.links,
    skipped: counts.skipped,
    failed: failedIn(counts),
  },
  bytes_restored: counts.bytes,
  bytes_fetched: bytesFetched,
})
