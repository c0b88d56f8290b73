/** Restores one entry of the tree after the other, and tells what could not be. */
import { Failure, fail } from '#shared/errors.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import type { Entry } from '#shared/format/tree.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import { contentOf } from '#shared/read/content.ts'
import type { TreeOf, TreePart } from '#shared/read/tree.ts'
import { attributesOf, ownerLost } from '../core/restore-attributes.ts'
import {
  blame,
  countNotSet,
  type Conflict,
  type RestoreCounts,
  type RestoreEvent,
} from '../core/restore-events.ts'
import type { Attributes, Problem } from '../core/restore-job.ts'
import type { Links } from '../core/restore-links.ts'
import type { ContentlessNode, OpenDirectory, RestoreTarget } from '../core/restore-ports.ts'
import type { Restorer } from './restore-files.ts'
import { type Folder, type Folders, letGo } from './restore-folder.ts'
import type { Made } from './restore-way.ts'

/** Directories remembered for the end, some 200 bytes each; with more, the tree is walked a second time for them. */
const REMEMBERED = 100_000

export type Entries = {
  restore(line: SegmentLine): Promise<void>
  lose(part: Extract<TreePart, { part: 'lost' }>): void
  /** The directories made, in order; null where they were too many to remember. */
  made(): readonly Made[] | null
}

type Parts = {
  readonly tree: TreeOf
  readonly target: RestoreTarget
  readonly restorer: Restorer
  readonly folders: Folders
  readonly links: Links
  readonly counts: RestoreCounts
  readonly tell: (event: RestoreEvent) => void
  /** What becomes of what is there already, in a shared target. */
  readonly conflict: Conflict
  /** Whether a file that the backup holds no content for counts as failed, or as skipped. */
  readonly strict: boolean
}

type State = Parts & { made: Made[] | null }

export const createEntries = (parts: Parts): Entries => {
  const state: State = { ...parts, made: [] }
  return {
    restore: async (line) => restoreEntry(state, line),
    lose: ({ from, to, failure }) => {
      parts.folders.lose()
      parts.counts.lost += 1
      parts.tell({ at: 'lost', from, to, problem: problemOf(failure) })
    },
    made: () => state.made,
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
  const folder = await state.folders.enter(dir)
  const step = stepFor(state, line, folder)
  if ('code' in step) tellFailure(state, path, step)
  else if ('skip' in step) {
    state.counts.skipped += 1
    state.tell({ at: 'skipped', path, reason: step.skip })
  } else {
    count(state, entry)
    if (entry.type === 'directory') makeDirectory(state, line)
    else if (entry.hardlink !== undefined) await restoreNamed(state, line, folder)
    else await restoreOne(state, line, { folder, done: () => undefined })
  }
}

type Step = Problem | { readonly skip: string } | { readonly go: true }

const GO: Step = { go: true }

/** What becomes of an entry, as far as that is known before it is read. */
const stepFor = (state: State, line: SegmentLine, folder: Folder): Step => {
  const { open } = folder
  if ('code' in open) return open
  const { entry } = line
  if (entry.type === 'socket') return { skip: 'socket' }
  if (entry.skipped !== undefined)
    return state.strict ? contentless(line, entry.skipped) : { skip: entry.skipped }
  if (!state.target.shared) return GO
  try {
    return stepAmong(state, line, [folder, open])
  } catch (error) {
    return failureOf(error)
  }
}

const textOf = (dir: Bytes, name: Bytes): string =>
  Buffer.from(pathOf(dir, name), 'latin1').toString('utf8')

const contentless = ({ dir, name }: SegmentLine, why: string): Failure =>
  fail('SOURCE_UNREADABLE', {
    path: textOf(dir, name),
    problem: `the backup holds no content for it (${why})`,
  })

/** The same where other things are already. */
const stepAmong = (
  { conflict }: State,
  { dir, name, entry }: SegmentLine,
  [{ folding }, open]: readonly [Folder, OpenDirectory],
): Step => {
  const unsafe = (problem: string): Failure =>
    fail('TARGET_UNSAFE', { path: textOf(dir, name), problem })
  if (folding.isTwin(name) && open.folds())
    return unsafe('this file system takes its name for that of another one of the backup')
  if (entry.type === 'directory') return GO
  const there = open.look(name)
  if (there === 'directory') return unsafe('there is a directory in its place')
  if (there === 'nothing' || conflict === 'overwrite') return GO
  if (conflict === 'skip') return { skip: 'exists' }
  return fail('CONFLICT', { problem: `${textOf(dir, name)} has come into being meanwhile` })
}

/** What cannot be set is counted once an entry, not said of each. */
const count = ({ counts, target }: State, entry: Entry): void => {
  if (ownerLost(entry, target.maker)) counts.ownersNotSet += 1
}

const failureOf = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  throw error
}

const makeDirectory = (state: State, { dir, name, entry }: SegmentLine): void => {
  const path = pathOf(dir, name)
  try {
    state.target.makeDirectory(dir, name)
  } catch (error) {
    const problem = failureOf(error)
    state.folders.refuse(path, problem)
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
    countNotSet(state.counts, state.target.node(line.dir, line.name, { ...node, ...attributes }))
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
  if (simple && 'ref' in folder.open) {
    await restorer.whole(file, folder.open, content[0] ?? null)
  } else {
    await restorer.large(file, contentOf(tree, entry))
  }
}
