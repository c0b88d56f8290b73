/** A first walk over what is wanted: how much it is, and what is there already. */
import { Failure } from '#shared/errors.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import type { Selection } from '#shared/read/selection.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import type { OpenDirectory, RestoreTarget } from '../core/restore-ports.ts'
import type { Turn } from '../ports.ts'

export type Survey = {
  readonly files: number
  readonly bytes: number
  /** Names that are taken by something that would have to go. */
  readonly conflicts: number
  readonly first: readonly Bytes[]
}

type Ask = {
  readonly tree: TreeOf
  readonly selection: Selection
  /** Where to look for what is there; null: that does not matter. */
  readonly target: RestoreTarget | null
  readonly turn: Turn
}

/** Conflicts that are named. */
const NAMED = 5

type Folder = { readonly dir: Bytes; readonly open: OpenDirectory | null }

type State = { files: number; bytes: number; conflicts: number; first: Bytes[] }

const conflict = (state: State, path: Bytes): void => {
  state.conflicts += 1
  if (state.first.length < NAMED) state.first.push(path)
}

/** What cannot be entered is in the way; where it is wanted itself, that was seen before. What is not there is not. */
const enter = (
  { selection }: Ask,
  target: RestoreTarget,
  [dir, state]: readonly [Bytes, State],
): Folder => {
  try {
    return { dir, open: target.existing(dir) }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    if (!selection.covers(dir)) conflict(state, dir)
    return { dir, open: null }
  }
}

/** Whether a name that will be given is taken by something that would have to go. */
const isTaken = (open: OpenDirectory, { name, entry }: SegmentLine): boolean => {
  if (entry.type === 'socket' || entry.skipped !== undefined) return false
  const there = open.look(name)
  return there === 'other' || (there === 'directory' && entry.type !== 'directory')
}

const count = (state: State, { entry }: SegmentLine): void => {
  if (entry.type !== 'file') return
  state.files += 1
  state.bytes += entry.size ?? 0
}

/** What is lost of the tree is not counted: the restore says so. */
export const survey = async (ask: Ask, stop: AbortSignal): Promise<Survey> => {
  const { tree, selection, target, turn } = ask
  const state: State = { files: 0, bytes: 0, conflicts: 0, first: [] }
  let folder: Folder | null = null
  try {
    for await (const part of walkTree(tree, selection.scope)) {
      await turn()
      stop.throwIfAborted()
      if (part.part === 'lost') continue
      for (const line of part.entries) {
        if (!selection.wants(line)) continue
        count(state, line)
        if (target === null) continue
        const { dir, name } = line
        if (folder?.dir !== dir) {
          folder?.open?.done()
          folder = enter(ask, target, [dir, state])
        }
        if (folder.open !== null && isTaken(folder.open, line)) conflict(state, pathOf(dir, name))
      }
    }
  } finally {
    folder?.open?.done()
  }
  return state
}
