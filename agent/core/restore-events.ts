/** What a restore tells while it runs, and what it counts. Paths are byte strings, absolute as in the tree. */
import type { Bytes, Place } from '#shared/format/tree-order.ts'
import type { NotSet, Problem } from './restore-job.ts'

/** What becomes of a file that is there already; `refuse`: nothing is restored where there are any. */
export type Conflict = 'overwrite' | 'skip' | 'refuse'

export type RestoreEvent =
  /** The vault is to blame: what the path holds is not there, or is not what was backed up. */
  | { readonly at: 'damaged'; readonly path: Bytes; readonly problem: Problem }
  /** Nothing is known of the entries from one place up to, not including, the other; null is the end. */
  | {
      readonly at: 'lost'
      readonly from: Place
      readonly to: Place | null
      readonly problem: Problem
    }
  /** The target, or the way to the vault, is to blame. */
  | { readonly at: 'failed'; readonly path: Bytes; readonly problem: Problem }
  /** Left out on purpose: what is there stays (`exists`), or the backup holds no content for it, and says why. */
  | { readonly at: 'skipped'; readonly path: Bytes; readonly reason: string }
  /** Asked for, and not in the backup. */
  | { readonly at: 'absent'; readonly path: Bytes }

const EVENTS: ReadonlySet<string> = new Set<RestoreEvent['at']>([
  'damaged',
  'lost',
  'failed',
  'skipped',
  'absent',
])

export const isRestoreEvent = (event: { readonly at: string }): event is RestoreEvent =>
  EVENTS.has(event.at)

export type RestoreCounts = {
  files: number
  directories: number
  /** Symbolic links, fifos, devices. */
  others: number
  /** Further names of files with several. */
  links: number
  /** Content of files, holes included. */
  bytes: number
  damaged: number
  lost: number
  failed: number
  skipped: number
  absent: number
  /** Entries whose owner was not set, for want of root's rights. */
  ownersNotSet: number
  /** Entries without some of their extended attributes or access lists, which the system did not take. */
  attributesNotSet: number
  /** The same by kind, each with what the system said. */
  readonly kindsNotSet: Record<string, number>
}

export const noCounts = (): RestoreCounts => ({
  files: 0,
  directories: 0,
  others: 0,
  links: 0,
  bytes: 0,
  damaged: 0,
  lost: 0,
  failed: 0,
  skipped: 0,
  absent: 0,
  ownersNotSet: 0,
  attributesNotSet: 0,
  kindsNotSet: {},
})

export const countNotSet = (counts: RestoreCounts, kinds: NotSet): void => {
  if (kinds.length === 0) return
  counts.attributesNotSet += 1
  for (const kind of kinds) counts.kindsNotSet[kind] = (counts.kindsNotSet[kind] ?? 0) + 1
}

/** `security.capability (EPERM) of 2 entries`, for people. */
export const notSetLines = ({ kindsNotSet }: RestoreCounts): readonly string[] =>
  Object.entries(kindsNotSet).map(
    ([kind, count]) => `${kind} of ${String(count)} ${count === 1 ? 'entry' : 'entries'}`,
  )

const OF_THE_VAULT: ReadonlySet<string> = new Set([
  'DAMAGED',
  'MISSING_OBJECT',
  'UNSUPPORTED',
  'WRONG_KEY',
])

/** Whether the vault is to blame, or the world. */
export const blame = (problem: Problem): 'damaged' | 'failed' =>
  OF_THE_VAULT.has(problem.code) ? 'damaged' : 'failed'
