/** Restores a backup, or paths of it, into a folder: content first, directories' owners, modes and times last. */
import { Failure } from '#shared/errors.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import { attributesOf, staysOpen } from '../core/restore-attributes.ts'
import { noCounts, type RestoreCounts, type RestoreEvent } from '../core/restore-events.ts'
import type { Attributes } from '../core/restore-job.ts'
import { createLinks } from '../core/restore-links.ts'
import type { Extractors, RestoreTarget } from '../core/restore-ports.ts'
import { pathOfRange, type Step, stepsOf } from '#shared/read/select.ts'
import { createCrew } from './crew.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { createEntries, type Entries, type Made, tellFailure } from './restore-entries.ts'
import { createRestorer } from './restore-files.ts'

export type Restore = {
  readonly tree: TreeOf
  readonly target: RestoreTarget
  readonly extractors: Extractors
  /** Absolute paths, as byte strings; none is everything. */
  readonly paths: readonly Bytes[]
  readonly tell: (event: RestoreEvent) => void
  /** Resolves when what was told is taken. */
  readonly taken?: () => Promise<void>
  /** Counts as they grow, for whoever shows them. */
  readonly counts?: RestoreCounts
}

/**
 * Never throws for what lies in the vault or happens to one path: that is told and counted. Throws when stopped, and
 * for mistakes of ours; then what stands under its own name is right, and the rest is not there.
 */
export const restore = async (ask: Restore, stop: AbortSignal): Promise<RestoreCounts> => {
  const crew = createCrew(stop)
  const restorer = createRestorer({ ...ask, crew })
  const counts = ask.counts ?? noCounts()
  const entries = createEntries({ ...ask, counts, restorer, links: createLinks() })
  try {
    for (const step of stepsOf(ask.paths)) {
      if (!(await restoreStep(ask, step, { entries, stop: crew.stop }))) {
        counts.absent += 1
        ask.tell({ at: 'absent', path: pathOfRange(step.range) })
      }
    }
    await restorer.flush()
    await crew.settle()
    await finishDirectories(ask, { entries, counts, stop: crew.stop })
    return counts
  } finally {
    await crew.disband(new Error('the restore ended'))
  }
}

type Walk = { readonly entries: Entries; readonly stop: AbortSignal }

/** Whether there is what was asked for, as far as that can be known. */
const restoreStep = async (
  { tree, taken }: Restore,
  { step, range }: Step,
  { entries, stop }: Walk,
): Promise<boolean> => {
  let found = step !== 'entry'
  try {
    for await (const part of walkTree(tree, range)) {
      stop.throwIfAborted()
      await taken?.()
      if (part.part === 'lost') {
        found = true
        entries.lose(part)
        continue
      }
      for (const line of part.entries) {
        found = true
        if (step !== 'ancestor' || line.entry.type === 'directory') await entries.restore(line)
      }
    }
    return found
  } finally {
    entries.leave()
  }
}

/** Directories got their entries' content; now what writing into them would have changed, or forbidden. */
const finishDirectories = async (
  ask: Restore,
  { entries, counts, stop }: Walk & { readonly counts: RestoreCounts },
): Promise<void> => {
  const { target } = ask
  const closed: Made[] = []
  const finish = ({ dir, attributes }: Made): void => {
    try {
      target.finishDirectory(dir, attributes)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      tellFailure({ ...ask, counts }, dir, error)
    }
  }
  for await (const made of entries.made() ?? directoriesOf(ask, entries)) {
    stop.throwIfAborted()
    // Who is not root could not reach below these any more: they come last, the deepest first.
    if (target.maker.root || staysOpen(made.attributes.mode)) finish(made)
    else closed.push(made)
  }
  for (const made of closed.reverse()) finish(made)
}

/** The same directories from a second walk, where they were too many to remember. */
async function* directoriesOf(
  { tree, paths, target }: Restore,
  entries: Entries,
): AsyncGenerator<{ readonly dir: Bytes; readonly attributes: Attributes }, void, void> {
  for (const { range } of stepsOf(paths)) {
    for await (const part of walkTree(tree, range)) {
      if (part.part === 'lost') continue
      for (const { dir, name, entry } of part.entries) {
        if (entry.type !== 'directory' || !entries.isMade(dir, name)) continue
        yield { dir: pathOf(dir, name), attributes: attributesOf(entry, target.maker) }
      }
    }
  }
}
