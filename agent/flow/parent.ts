/** Where a job stands on this machine: the newest backup that was seen committed, and its local tree. */
import { BLOCK, createCursor, type Cursor } from '../core/local-tree.ts'
import { readParentFile, writeJson, type ParentFile } from '../core/state.ts'
import { decodeFrame } from '#shared/format/zstd.ts'
import { view } from '#shared/format/bytes.ts'
import type { BlockSource, StateFolder } from '../ports.ts'

const folderOf = (job: string): string => `jobs/${job}`
const parentPath = (job: string): string => `${folderOf(job)}/parent.json`

export const treePath = (job: string, name: string): string => `${folderOf(job)}/${name}`

export const readParent = (state: StateFolder, job: string, vault: string): ParentFile | null => {
  const bytes = state.read(parentPath(job))
  if (bytes === null) return null
  const parent = readParentFile(bytes)
  // A job that moved to another vault starts anew there.
  return parent.vault === vault ? parent : null
}

/** The new state replaces the old in one step: the file that names the tree. Then what it does not name goes. */
export const saveParent = (state: StateFolder, job: string, parent: ParentFile): void => {
  state.replace(parentPath(job), writeJson(parent))
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
