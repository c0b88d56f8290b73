/** Restores a backup, or what was chosen of it: content first, directories' owners, modes and times last. */
import { Failure } from '#shared/errors.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import {
  missingOf,
  type Missing,
  type Selection,
  selectionOf,
  type Wish,
} from '#shared/read/selection.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { attributesOf, staysOpen } from '../core/restore-attributes.ts'
import {
  type Conflict,
  countNotSet,
  noCounts,
  type RestoreCounts,
  type RestoreEvent,
} from '../core/restore-events.ts'
import { createLinks } from '../core/restore-links.ts'
import type { Extractors, RestoreTarget } from '../core/restore-ports.ts'
import { createCrew, type Crew } from './crew.ts'
import { createEntries, type Entries, tellFailure } from './restore-entries.ts'
import { createRestorer, type Reads, type Restorer } from './restore-files.ts'
import { createFolders, type Folders } from './restore-folder.ts'
import { createWay, type Made, type Way } from './restore-way.ts'

export type Restore = Reads & {
  readonly tree: TreeOf
  readonly target: RestoreTarget
  readonly extractors: Extractors
  readonly wish: Wish
  readonly tell: (event: RestoreEvent) => void
  /** Resolves when what was told is taken. */
  readonly taken?: () => Promise<void>
  /** Counts as they grow, for whoever shows them. */
  readonly counts?: RestoreCounts
  /** Where nothing is there, none of these comes up. */
  readonly conflict?: Conflict
  /** Whether a file that the backup holds no content for counts as failed, or as skipped. */
  readonly strict?: boolean
  /** Whether somebody asked for each wish: then it is said of those that the backup does not have. */
  readonly asked?: boolean
  /** Content is done; directories are next. */
  readonly finishing?: () => void
}

/** Directories between two looks at whoever else wants a turn. */
const STRIDE = 256

type Session = Restore & {
  readonly counts: RestoreCounts
  readonly selection: Selection
  readonly missing: Missing
  readonly crew: Crew
  readonly restorer: Restorer
  readonly way: Way
  readonly folders: Folders
  readonly entries: Entries
  /** Directories that who is not root could not enter any more once they are as they were. */
  readonly closed: Made[]
}

/**
 * Never throws for what lies in the vault or happens to one path: that is told and counted. Throws when stopped, and
 * for mistakes of ours; then what stands under its own name is right, and the rest is not there.
 */
export const restore = async (ask: Restore, stop: AbortSignal): Promise<RestoreCounts> => {
  const crew = createCrew(stop)
  const session = sessionOf(ask, crew)
  try {
    await restoreAll(session)
    await settle(session)
    if (ask.asked ?? true) tellAbsent(session)
    ask.finishing?.()
    await finishDirectories(session)
    return session.counts
  } finally {
    await crew.disband(new Error('the restore ended'))
  }
}

const tellAbsent = ({ missing, counts, tell }: Session): void => {
  for (const path of missing.rest()) {
    counts.absent += 1
    tell({ at: 'absent', path })
  }
}

const sessionOf = (ask: Restore, crew: Crew): Session => {
  const { tree, target, conflict = 'refuse', strict = false } = ask
  const counts = ask.counts ?? noCounts()
  const selection = selectionOf(ask.wish)
  const restorer = createRestorer({ ...ask, crew, notSet: (kinds) => countNotSet(counts, kinds) })
  const failed = (dir: Bytes, problem: Failure): void =>
    tellFailure({ ...ask, counts }, dir, problem)
  const way = createWay({ tree, target, failed })
  const folders = createFolders({ target, restorer, covers: selection.covers, onWay: way.note })
  const parts = { ...ask, counts, restorer, folders, links: createLinks(), conflict, strict }
  const entries = createEntries(parts)
  const missing = missingOf(ask.wish)
  return { ...ask, counts, selection, missing, crew, restorer, way, folders, entries, closed: [] }
}

const restoreAll = async (session: Session): Promise<void> => {
  const { tree, taken, crew, selection, missing, folders, entries, way } = session
  try {
    for await (const part of walkTree(tree, selection.scope)) {
      crew.stop.throwIfAborted()
      await taken?.()
      if (part.part === 'lost') {
        missing.lost(part.from, part.to)
        entries.lose(part)
        continue
      }
      for (const line of part.entries) {
        missing.saw(line)
        if (!selection.wants(line)) continue
        if (way.full) await finishWay(session, line.dir)
        await entries.restore(line)
      }
    }
  } finally {
    folders.leave()
  }
}

/** Everything that was begun is done. */
const settle = async ({ restorer, crew }: Session): Promise<void> => {
  await restorer.flush()
  await crew.settle()
}

/** The directories on the way that lie behind `dir`: nothing is made in them any more. */
const finishWay = async (session: Session, dir: Bytes | null): Promise<void> => {
  await settle(session)
  await session.way.finish(dir, (made) => finish(session, made))
}

const finish = (session: Session, made: Made): void => {
  const { target, closed } = session
  if (target.maker.root || staysOpen(made.attributes.mode)) finishNow(session, made)
  else closed.push(made)
}

const finishNow = (session: Session, { dir, attributes }: Made): void => {
  try {
    countNotSet(session.counts, session.target.finishDirectory(dir, attributes))
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    tellFailure(session, dir, error)
  }
}

/** Directories got their entries' content; now what writing into them would have changed, or forbidden. */
const finishDirectories = async (session: Session): Promise<void> => {
  const { entries, crew, closed, taken } = session
  let finished = 0
  for await (const made of entries.made() ?? directoriesOf(session)) {
    if ((finished += 1) % STRIDE === 0) await taken?.()
    crew.stop.throwIfAborted()
    finish(session, made)
  }
  await finishWay(session, null)
  // Below these nothing could be reached any more: they come last, the deepest first.
  for (const made of closed.sort(deepestFirst)) finishNow(session, made)
}

const deepestFirst = (a: Made, b: Made): number => b.dir.length - a.dir.length

/** The same directories from a second walk, where they were too many to remember. */
async function* directoriesOf({
  tree,
  selection,
  target,
  folders,
}: Session): AsyncGenerator<Made, void, void> {
  for await (const part of walkTree(tree, selection.scope)) {
    if (part.part === 'lost') continue
    for (const line of part.entries) {
      if (line.entry.type !== 'directory' || !selection.wants(line)) continue
      const dir = pathOf(line.dir, line.name)
      if (folders.refusal(dir) !== undefined) continue
      yield { dir, attributes: attributesOf(line.entry, target.maker) }
    }
  }
}
