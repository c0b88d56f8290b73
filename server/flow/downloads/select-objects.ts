/** Which objects, and which parts of them, a selection of a backup needs: packs with content, and trees on the way to it. */
import { fail, Failure } from '#shared/errors.ts'
import type { Locator, PackNo } from '#shared/format/locator.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import type { ObjectFacts } from '#shared/read/access.ts'
import { contentOf } from '#shared/read/content.ts'
import type { ObjectReader } from '#shared/read/object.ts'
import { createPackRows } from '#shared/read/packs.ts'
import { missingOf, type Selection, selectionOf, type Wish } from '#shared/read/selection.ts'
import { type TreePart, walkTree } from '#shared/read/tree.ts'
import { isVaultFault } from '../../core/backup-file.ts'
import type { ReadBackup } from '../read-backup.ts'

/** What is wanted of an object: frames by offset in the plaintext. */
export type Touched = { readonly facts: ObjectFacts; readonly frames: Map<number, number> }

export type SelectedFile = {
  readonly path: Bytes
  readonly size: number
  readonly content: readonly Locator[]
}

export type SelectedObjects = {
  readonly packs: ReadonlyMap<PackNo, Touched>
  readonly trees: ReadonlyMap<PackNo, Touched>
  readonly files: readonly SelectedFile[]
  /** Whether `files` are all of them. */
  readonly complete: boolean
  readonly lost: readonly Extract<TreePart, { part: 'lost' }>[]
}

export type SelectBounds = {
  readonly objects: number
  readonly files: number
  readonly locators: number
  /** Segments of the tree that are read before the files that were found are all that is told. */
  readonly segments: number
}

const MOST_LOST = 20

const touch = (
  map: Map<PackNo, Touched>,
  facts: ObjectFacts,
  [, offset, length]: readonly [unknown, number, number, ...unknown[]],
): void => {
  const known = map.get(facts.pack) ?? { facts, frames: new Map<number, number>() }
  known.frames.set(offset, Math.max(length, known.frames.get(offset) ?? 0))
  map.set(facts.pack, known)
}

/** The same reader, which notes what is read through it. */
const noting = (objects: ObjectReader, trees: Map<PackNo, Touched>): ObjectReader => ({
  ...objects,
  segment: async (facts, locator) => {
    touch(trees, facts, locator)
    return objects.segment(facts, locator)
  },
})

type Walk = {
  readonly bounds: SelectBounds
  readonly files: SelectedFile[]
  readonly packs: Map<PackNo, Touched>
  readonly trees: Map<PackNo, Touched>
  readonly lost: Extract<TreePart, { part: 'lost' }>[]
  locators: number
  segments: number
}

const checkObjects = ({ packs, trees, bounds }: Walk): void => {
  if (packs.size + trees.size > bounds.objects)
    throw fail('LIMIT_EXCEEDED', {
      limit: bounds.objects,
      what: 'objects in one download of parts: choose fewer files, or restore them onto a server',
    })
}

/** A file whose content lists, or whose part of the pack table, cannot be read is lost by itself. */
const tryFile = async (tree: ReadBackup['tree'], walk: Walk, line: SegmentLine): Promise<void> => {
  try {
    await takeFile(tree, walk, line)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    noteLost(walk, { part: 'lost', from: line, to: line, failure: error })
  }
}

/** Locators of a file, all of whose packs are looked up, so that what they need of the pack table is noted. */
const takeFile = async (
  backup: ReadBackup['tree'],
  walk: Walk,
  line: SegmentLine,
): Promise<void> => {
  const content: Locator[] = []
  for await (const run of contentOf(backup, line.entry)) {
    for (const locator of run) {
      touch(walk.packs, await backup.packs.row(locator[0]), locator)
      if (walk.locators < walk.bounds.locators) content.push(locator)
      walk.locators += 1
    }
    checkObjects(walk)
  }
  if (isOpen(walk))
    walk.files.push({ path: pathOf(line.dir, line.name), size: line.entry.size ?? 0, content })
}

/** Whether more files may be told of. */
const isOpen = ({ files, locators, bounds }: Walk): boolean =>
  files.length < bounds.files && locators <= bounds.locators

const noteLost = (walk: Walk, part: Extract<TreePart, { part: 'lost' }>): void => {
  if (!isVaultFault(part.failure) || walk.lost.length >= MOST_LOST) throw part.failure
  walk.lost.push(part)
}

type Wanted = { readonly selection: Selection; readonly wish: Wish }

/** Answers whether it went to the end. */
const walkAll = async (
  tree: ReadBackup['tree'],
  walk: Walk,
  { selection, wish }: Wanted,
): Promise<boolean> => {
  const missing = missingOf(wish)
  for await (const part of walkTree(tree, selection.scope)) {
    if (part.part === 'lost') {
      missing.lost(part.from, part.to)
      noteLost(walk, part)
      continue
    }
    for (const line of part.entries) {
      if (!selection.wants(line)) continue
      missing.saw(line)
      if (line.entry.type === 'file') await tryFile(tree, walk, line)
    }
    walk.segments += 1
    if (selection.everything && (walk.segments >= walk.bounds.segments || !isOpen(walk)))
      return false
    checkObjects(walk)
  }
  const [first] = missing.rest()
  if (first !== undefined)
    throw fail('RESOURCE_NOT_FOUND', {
      resource: 'file',
      id: Buffer.from(first, 'latin1').toString('utf8'),
    })
  return true
}

/**
 * Walks what is wanted. Of everything only as much as the bounds of files let tell: which objects that needs, the catalog
 * knows better. `RESOURCE_NOT_FOUND` for a path or glob that fits nothing, `LIMIT_EXCEEDED` for too many objects.
 */
export const selectObjects = async (
  { objects, tree, body }: ReadBackup,
  wish: Wish,
  bounds: SelectBounds,
): Promise<SelectedObjects> => {
  const trees = new Map<PackNo, Touched>()
  const noted = noting(objects, trees)
  const selection = selectionOf(wish)
  const walk: Walk = {
    bounds,
    files: [],
    packs: new Map(),
    trees,
    lost: [],
    locators: 0,
    segments: 0,
  }
  const through = { objects: noted, packs: createPackRows(noted, body.packs), fence: tree.fence }
  const ended = await walkAll(through, walk, { selection, wish })
  const complete = ended && isOpen(walk)
  return { packs: walk.packs, trees, files: walk.files, complete, lost: walk.lost }
}
