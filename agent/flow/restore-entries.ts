/** Restores one entry of the tree after the other, and tells what could not be. */
import { Failure } from '#shared/errors.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import type { Entry } from '#shared/format/tree.ts'
import { type Bytes, isBelow, pathOf } from '#shared/format/tree-order.ts'
import { contentOf } from '#shared/read/content.ts'
import type { TreeOf, TreePart } from '#shared/read/tree.ts'
import { attributesOf, ownerLost } from '../core/restore-attributes.ts'
import { blame, type RestoreCounts, type RestoreEvent } from '../core/restore-events.ts'
import type { Attributes, Problem } from '../core/restore-job.ts'
import type { Links } from '../core/restore-links.ts'
import type { ContentlessNode, OpenDirectory, RestoreTarget } from '../core/restore-ports.ts'
import type { Restorer } from './restore-files.ts'

/** Directories remembered for the end, some 200 bytes each; with more, the tree is walked a second time for them. */
const REMEMBERED = 100_000

export type Made = { readonly dir: Bytes; readonly attributes: Attributes }

export type Entries = {
  restore(line: SegmentLine): Promise<void>
  lose(part: Extract<TreePart, { part: 'lost' }>): void
  /** Lets go of the directory that the last entries were in. */
  leave(): void
  /** The directories made, in order; null where they were too many to remember. */
  made(): readonly Made[] | null
  isMade(dir: Bytes, name: Bytes): boolean
}

type Parts = {
  readonly tree: TreeOf
  readonly target: RestoreTarget
  readonly restorer: Restorer
  readonly links: Links
  readonly counts: RestoreCounts
  readonly tell: (event: RestoreEvent) => void
}

type State = Parts & {
  made: Made[] | null
  /** Directories that could not be made: what lies in them has no place. */
  readonly refused: { readonly dir: Bytes; readonly problem: Problem }[]
  folder: Folder | null
  /** Once entries are lost, directories among them are made without their attributes, for the sake of their content. */
  lost: boolean
}

/** The directory that entries are restored into, open as long as files of it are under way. */
type Folder = {
  readonly dir: Bytes
  readonly open: OpenDirectory | Problem
  users: number
  readonly release: () => void
}

export const createEntries = (parts: Parts): Entries => {
  const state: State = { ...parts, made: [], refused: [], folder: null, lost: false }
  return {
    restore: async (line) => restoreEntry(state, line),
    lose: ({ from, to, failure }) => {
      state.lost = true
      parts.counts.lost += 1
      parts.tell({ at: 'lost', from, to, problem: problemOf(failure) })
    },
    leave: () => {
      leaveFolder(state)
    },
    made: () => state.made,
    isMade: (dir, name) => !state.refused.some((one) => isBelow(pathOf(dir, name), one.dir)),
  }
}

const problemOf = ({ code, details }: Problem): Problem => ({ code, details })

/** Tells and counts that a path is not as it was, whoever is to blame. */
export const tellFailure = (
  { counts, tell }: Pick<Parts, 'counts' | 'tell'>,
  path: Bytes,
  problem: Problem,
): void => {
  const at = blame(problem)
  counts[at] += 1
  tell({ at, path, problem: problemOf(problem) })
}

const restoreEntry = async (state: State, line: SegmentLine): Promise<void> => {
  const { dir, name, entry } = line
  const path = pathOf(dir, name)
  const folder = await enterFolder(state, dir)
  if ('code' in folder.open) {
    tellFailure(state, path, folder.open)
    return
  }
  count(state, entry)
  if (entry.type === 'directory') makeDirectory(state, line)
  else if (entry.skipped !== undefined || entry.type === 'socket') {
    state.counts.skipped += 1
    state.tell({ at: 'skipped', path, reason: entry.skipped ?? 'socket' })
  } else if (entry.hardlink !== undefined) await restoreNamed(state, line, folder)
  else await restoreOne(state, line, { folder, done: () => undefined })
}

/** What cannot be set is counted once an entry, not said of each. */
const count = ({ counts, target }: State, entry: Entry): void => {
  if (ownerLost(entry, target.maker)) counts.ownersNotSet += 1
  if (entry.xattrs !== undefined || entry.acl !== undefined) counts.attributesNotSet += 1
}

/** Entries of one directory come together: it is opened once, and closed when its last file is done. */
const enterFolder = async (state: State, dir: Bytes): Promise<Folder> => {
  if (state.folder?.dir === dir) return state.folder
  leaveFolder(state)
  const { release } = await state.restorer.handle()
  state.folder = { dir, open: openFolder(state, dir), users: 1, release }
  return state.folder
}

const openFolder = ({ refused, target, lost }: State, dir: Bytes): OpenDirectory | Problem => {
  const within = refused.find((one) => isBelow(dir, one.dir))
  if (within !== undefined) return within.problem
  try {
    return target.directory(dir, lost)
  } catch (error) {
    return failureOf(error)
  }
}

const failureOf = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  throw error
}

const leaveFolder = (state: State): void => {
  if (state.folder !== null) letGo(state.folder)
  state.folder = null
}

const letGo = (folder: Folder): void => {
  folder.users -= 1
  if (folder.users > 0) return
  folder.release()
  if ('done' in folder.open) folder.open.done()
}

const makeDirectory = (state: State, { dir, name, entry }: SegmentLine): void => {
  const path = pathOf(dir, name)
  try {
    state.target.makeDirectory(dir, name)
  } catch (error) {
    const problem = failureOf(error)
    state.refused.push({ dir: path, problem })
    tellFailure(state, path, problem)
    return
  }
  state.counts.directories += 1
  state.made?.push({ dir: path, attributes: attributesOf(entry, state.target.maker) })
  if (state.made !== null && state.made.length > REMEMBERED) state.made = null
}

type Ending = { readonly folder: Folder; readonly done: (problem: Problem | null) => void }

/** One name of a file that may have several: the first is restored, the others linked to it. */
const restoreNamed = async (state: State, line: SegmentLine, folder: Folder): Promise<void> => {
  const { dir, name, entry } = line
  const path = pathOf(dir, name)
  const step = state.links.next(entry.hardlink ?? '', line, (outcome) => {
    try {
      if ('code' in outcome) tellFailure(state, path, outcome)
      else {
        state.target.link(outcome, dir, name)
        state.counts.links += 1
      }
    } catch (error) {
      tellFailure(state, path, failureOf(error))
    }
  })
  if (step.link === 'first') await restoreOne(state, line, { folder, done: step.settle })
}

const restoreOne = async (state: State, line: SegmentLine, ending: Ending): Promise<void> => {
  const { dir, name, entry } = line
  const path = pathOf(dir, name)
  const attributes = attributesOf(entry, state.target.maker)
  const done = (problem: Problem | null): void => {
    letGo(ending.folder)
    if (problem !== null) tellFailure(state, path, problem)
    else if (entry.type === 'file') {
      state.counts.files += 1
      state.counts.bytes += entry.size ?? 0
    } else state.counts.others += 1
    ending.done(problem)
  }
  ending.folder.users += 1
  if (entry.type === 'file')
    await restoreFile(state, line, { attributes, done, folder: ending.folder })
  else makeNode(state, line, { attributes, done })
}

type Making = {
  readonly attributes: Attributes
  readonly done: (problem: Problem | null) => void
}

const makeNode = (state: State, line: SegmentLine, { attributes, done }: Making): void => {
  const node = nodeOf(line.entry)
  let problem: Problem | null = null
  try {
    state.target.node(line.dir, line.name, { ...node, ...attributes })
  } catch (error) {
    problem = failureOf(error)
  }
  done(problem)
}

const nodeOf = ({ type, target, device }: Entry): ContentlessNode => {
  if (type === 'symlink') return { type, target: target ?? '' }
  if (type === 'char' || type === 'block') return { type, device: device ?? [0, 0] }
  return { type: 'fifo' }
}

const restoreFile = async (
  { tree, restorer }: State,
  { dir, name, entry }: SegmentLine,
  { attributes, done, folder }: Making & { readonly folder: Folder },
): Promise<void> => {
  const { content = [], more, holes = [], size = 0 } = entry
  const file = { dir, name, size, holes, attributes, done }
  const simple = more === undefined && holes.length === 0 && content.length <= 1
  if (simple && 'path' in folder.open) {
    await restorer.whole(file, folder.open, content[0] ?? null)
  } else {
    await restorer.large(file, contentOf(tree, entry))
  }
}
