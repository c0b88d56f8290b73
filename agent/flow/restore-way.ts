/**
 * Directories that nobody asked for but that lie on the way to what was: those that had to be made get the attributes
 * that they had, those that were there keep theirs, their times too.
 */
import { Failure } from '#shared/errors.ts'
import { type Bytes, isBelow, pathOf } from '#shared/format/tree-order.ts'
import { scopeOf } from '#shared/read/scope.ts'
import { placeOf } from '#shared/read/select.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { attributesOf } from '../core/restore-attributes.ts'
import type { Attributes } from '../core/restore-job.ts'
import type { OnWay, RestoreTarget } from '../core/restore-ports.ts'

/** Remembered at once, some 150 bytes each; then those that the walk has left behind are finished. */
const REMEMBERED = 50_000

export type Made = { readonly dir: Bytes; readonly attributes: Attributes }

export type Way = {
  readonly note: OnWay
  /** There are so many that those behind `dir` should be finished. */
  readonly full: boolean
  /** Gives those that were made to `finish`. `dir`: it and those above it still have things to come; null for the end. */
  finish(dir: Bytes | null, finish: (made: Made) => void): Promise<void>
}

type Parts = {
  readonly tree: TreeOf
  readonly target: RestoreTarget
  readonly failed: (dir: Bytes, problem: Failure) => void
}

export const createWay = (parts: Parts): Way => {
  const noted = new Map<Bytes, bigint | null>()
  return {
    note: (dir, mtime) => {
      if (!noted.has(dir)) noted.set(dir, mtime)
    },
    get full() {
      return noted.size >= REMEMBERED
    },
    finish: async (dir, finish) => {
      const behind = [...noted].filter(([one]) => dir === null || !isBelow(dir, one))
      const made = behind.filter(([, mtime]) => mtime === null).map(([one]) => one)
      for await (const one of attributesIn(parts, made)) finish(one)
      for (const [one, mtime] of behind) {
        if (mtime !== null) reset(parts, one, mtime)
        noted.delete(one)
      }
    },
  }
}

/** What the backup says of these directories; of what is lost nothing, and it stays private. */
async function* attributesIn(
  { tree, target }: Parts,
  dirs: readonly Bytes[],
): AsyncGenerator<Made, void, void> {
  if (dirs.length === 0) return
  const scope = scopeOf(...dirs.map((dir) => ({ at: 'entry', ...placeOf(dir) }) as const))
  for await (const part of walkTree(tree, scope)) {
    if (part.part === 'lost') continue
    for (const { dir, name, entry } of part.entries) {
      if (entry.type !== 'directory') continue
      yield { dir: pathOf(dir, name), attributes: attributesOf(entry, target.maker) }
    }
  }
}

const reset = ({ target, failed }: Parts, dir: Bytes, mtime: bigint): void => {
  try {
    target.resetTime(dir, mtime)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    failed(dir, error)
  }
}
