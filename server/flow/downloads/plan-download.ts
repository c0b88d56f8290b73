/** What a wish becomes: one object for each file, one archive for each folder, one archive of everything without a wish. */
import { showPath } from '#shared/api/file-ids.ts'
import { fail } from '#shared/errors.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { type Bytes, pathOf, type Range } from '#shared/format/tree-order.ts'
import { type Scope, scopeOf } from '#shared/read/scope.ts'
import { placeOf } from '#shared/read/select.ts'
import { missingOf, selectionOf, type Wish } from '#shared/read/selection.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { KiB } from '#shared/units.ts'
import { baseName, distinct } from '../../core/download-names.ts'
import { isInTar } from '../../core/tar.ts'
import { MOST_BYTES } from './write-object.ts'

export type PlannedObject = {
  readonly no: number
  readonly name: string
  /** Null: everything. */
  readonly path: Bytes | null
  /** Of a single file. */
  readonly file: SegmentLine | null
  /** Content in all, without holes. */
  readonly bytes: number
  /** No object becomes longer than this before it is encrypted. */
  readonly bound: number
}

export type DownloadPlan = { readonly objects: readonly PlannedObject[]; readonly bytes: number }

/** Files and folders that are handed out by themselves; more of them belong into a folder's archive. */
const MOST_OBJECTS = 1000
/** Two headers, their padding, and whatever a line of the tree says besides, twice. */
const HEAD = 4 * KiB

type Target = {
  readonly path: Bytes | null
  readonly file: SegmentLine | null
  bytes: number
  bound: number
}

const take = (target: Target, { line, entry }: SegmentLine): void => {
  const content = isInTar(entry) ? (entry.size ?? 0) : 0
  const holes = (entry.holes ?? []).reduce((sum, [, length]) => sum + length, 0)
  target.bytes += content - holes
  target.bound += (target.file === null ? content - holes : content) + HEAD + 2 * line.length
}

/** Whether a person asked for this very thing, not for something above it. */
const targetsOf = async (tree: TreeOf, wish: Wish): Promise<readonly Target[]> => {
  const selection = selectionOf(wish)
  const targets = new Map<Bytes, Target>()
  const all: Target = { path: null, file: null, bytes: 0, bound: 0 }
  const missing = missingOf(wish)
  for await (const part of walkTree(tree, selection.scope)) {
    if (part.part === 'lost') throw part.failure
    for (const line of part.entries) {
      if (!selection.wants(line)) continue
      missing.saw(line)
      const target = selection.everything ? all : (above(targets, line.dir) ?? added(targets, line))
      take(target, line)
    }
  }
  const [absent] = missing.rest()
  if (absent !== undefined)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'file', id: showPath(absent) })
  return selection.everything ? [all] : [...targets.values()]
}

/** The target that the directory lies in, or is. */
const above = (targets: ReadonlyMap<Bytes, Target>, dir: Bytes): Target | undefined => {
  for (let at = dir; at !== '/'; at = placeOf(at).dir) {
    const target = targets.get(at)
    if (target !== undefined) return target
  }
  return undefined
}

const added = (targets: Map<Bytes, Target>, line: SegmentLine): Target => {
  const path = pathOf(line.dir, line.name)
  const isFile = line.entry.type === 'file'
  if (isFile && !isInTar(line.entry))
    throw fail('INVALID_STATE', {
      resource: `The content of ${showPath(path)}`,
      status: `not in the backup (${line.entry.skipped ?? 'skipped'})`,
    })
  if (targets.size >= MOST_OBJECTS)
    throw fail('LIMIT_EXCEEDED', {
      limit: MOST_OBJECTS,
      what: 'files in one download: name the folder that they are in',
    })
  const target: Target = { path, file: isFile ? line : null, bytes: 0, bound: 0 }
  targets.set(path, target)
  return target
}

/** Throws what cannot be done, so that nothing of it is begun. `name`: what an archive of everything is called. */
export const planDownload = async (
  tree: TreeOf,
  [wish, name]: readonly [Wish, string],
): Promise<DownloadPlan> => {
  const targets = await targetsOf(tree, wish)
  const names = distinct(
    targets.map(({ path, file }) => ({
      base: path === null ? name : baseName(path),
      suffix: file === null ? '.tar.zst.age' : '.age',
    })),
  )
  const tooLarge = targets.find(({ bound }) => bound > MOST_BYTES)
  if (tooLarge !== undefined)
    throw fail('LIMIT_EXCEEDED', {
      limit: MOST_BYTES,
      what: 'bytes in one prepared object: choose less, take "parts", or restore onto a server',
    })
  const objects = targets.map((target, no) => ({ ...target, no, name: names[no] ?? '' }))
  return { objects, bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0) }
}

/** What of the tree an object holds. */
export const scopeOfObject = ({ path }: Pick<PlannedObject, 'path'>): Scope => {
  if (path === null) return scopeOf({ at: 'all' })
  const below: Range = { at: 'subtree', dir: path }
  return scopeOf({ at: 'entry', ...placeOf(path) }, below)
}
