/** Where a job stands on this machine: the newest backup that was seen committed, and its local tree. */
import { BLOCK, createCursor, type Cursor } from '../core/local-tree.ts'
import { readParentFile, writeChecked, type ParentFile } from '../core/state.ts'
import { decodeFrame } from '#shared/format/zstd.ts'
import type { PackNo } from '#shared/format/locator.ts'
import { view } from '#shared/format/bytes.ts'
import { hasCode } from '#shared/errors.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import type { Log } from '#shared/world.ts'
import type { BlockSource, StateFolder } from '../ports.ts'

const folderOf = (job: string): string => `jobs/${job}`
const parentPath = (job: string): string => `${folderOf(job)}/parent.json`

export const treePath = (job: string, name: string): string => `${folderOf(job)}/${name}`

/** Reads the local tree once to its end, unpacking nothing; the walk then finds it in the cache of the system. */
const isWhole = (state: StateFolder, path: string): boolean => {
  const source = state.blocks(path)
  if (source === null) return false
  try {
    while (source.next() !== null);
    return true
  } finally {
    source.close()
  }
}

/**
 * Null where there is none, and where it, or its local tree, is damaged: then everything is read again, and what the
 * vault has is not sent again. Only both together count, for the tree's lines are what the sums of the parent are of.
 */
export const readParent = (
  state: StateFolder,
  job: string,
  { vault, log }: { readonly vault: string; readonly log: Log },
): ParentFile | null => {
  const bytes = state.read(parentPath(job))
  if (bytes === null) return null
  try {
    const parent = readParentFile(bytes)
    // A job that moved to another vault starts anew there.
    if (parent.vault !== vault) return null
    if (isWhole(state, treePath(job, parent.tree))) return parent
    log.warn({ job }, 'the local tree of the last backup is not there: everything is read again')
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error
    log.warn({ job, problem: error.message }, 'everything is read again')
  }
  return null
}

/** The highest number of a pack that it names; 0 of none. Both lists are ascending. */
export const highestIn = (parent: ParentFile | null): PackNo =>
  Math.max(parent?.content.at(-1)?.[0] ?? 0, parent?.structure.at(-1)?.[0] ?? 0)

/** A backup that this agent saw committed and the control plane does not know: what happened, in words. */
export const unknownHead = (
  parent: ParentFile | null,
  { sequence }: Pick<BackupStart, 'sequence'>,
): string | null =>
  parent === null || parent.sequence < sequence
    ? null
    : `Backup ${parent.backup} was committed as number ${String(parent.sequence)}, and the control plane does not know it: its database seems to have been restored from an older state. What was committed since then is in the bucket, and holdfast recover brings it back.`

/** The new state replaces the old in one step: the file that names the tree. Then what it does not name goes. */
export const saveParent = (state: StateFolder, job: string, parent: ParentFile): void => {
  state.replace(parentPath(job), writeChecked(parent))
  sweepTrees(state, job, parent.tree)
}

/** Removes local trees that a crash, or an older backup, left behind. */
export const sweepTrees = (state: StateFolder, job: string, keep: string | null): void => {
  for (const name of state.list(folderOf(job))) {
    if (name.startsWith('tree-') && name !== keep) state.remove(treePath(job, name))
  }
}

/** A block ends with the entry that brings it over its size; an entry has some 64 KiB, or a large file's uses. */
const MOST_BLOCK = 64 * BLOCK

export type Base = { readonly cursor: Cursor; close(): void }

/** The local tree as a cursor; an empty one where there is none. */
export const openBase = (state: StateFolder, path: string | null): Base => {
  const source: BlockSource | null = path === null ? null : state.blocks(path)
  return {
    cursor: createCursor(() => {
      const packed = source?.next() ?? null
      return packed === null ? null : { raw: view(decodeFrame(packed, MOST_BLOCK)), packed }
    }),
    close: () => source?.close(),
  }
}
