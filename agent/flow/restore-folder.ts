/** The directory that entries are restored into: they come together, so that one is open at a time, and those still at work. */
import { Failure } from '#shared/errors.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { placeOf } from '#shared/read/select.ts'
import { createFolding, type Folding } from '../core/restore-folding.ts'
import type { Problem } from '../core/restore-job.ts'
import type { OnWay, OpenDirectory, RestoreTarget } from '../core/restore-ports.ts'
import type { Restorer } from './restore-files.ts'

/** Open as long as files of it are under way. */
export type Folder = {
  readonly dir: Bytes
  readonly open: OpenDirectory | Problem
  readonly folding: Folding
  users: number
  readonly release: () => void
}

export type Folders = {
  enter(dir: Bytes): Promise<Folder>
  /** Lets go of the directory entered last. */
  leave(): void
  /** It could not be made: what lies in it has no place. */
  refuse(dir: Bytes, problem: Problem): void
  /** Why nothing can be restored at this path; undefined where something can. */
  refusal(path: Bytes): Problem | undefined
  /** From now on directories are made for the sake of what lies in them: their own entries may be lost. */
  lose(): void
}

type Parts = {
  readonly target: RestoreTarget
  readonly restorer: Restorer
  /** Whether the directory's own entry, or one above, was asked for. */
  readonly covers: (dir: Bytes) => boolean
  readonly onWay: OnWay
}

export const letGo = (folder: Folder): void => {
  folder.users -= 1
  if (folder.users > 0) return
  folder.release()
  if ('done' in folder.open) folder.open.done()
}

const NO_MATTER: OnWay = () => undefined

export const createFolders = ({ target, restorer, covers, onWay }: Parts): Folders => {
  const refused = new Map<Bytes, Problem>()
  let current: Folder | null = null
  let isLost = false
  const refusal = (path: Bytes): Problem | undefined => {
    if (refused.size === 0) return undefined
    for (let at = path; at !== '/'; at = placeOf(at).dir) {
      const problem = refused.get(at)
      if (problem !== undefined) return problem
    }
    return undefined
  }
  const making = (dir: Bytes): OnWay | null => {
    if (!covers(dir)) return onWay
    return isLost ? NO_MATTER : null
  }
  const open = (dir: Bytes): OpenDirectory | Problem => {
    const problem = refusal(dir)
    if (problem !== undefined) return problem
    try {
      return target.directory(dir, making(dir))
    } catch (error) {
      if (error instanceof Failure) return error
      throw error
    }
  }
  const leave = (): void => {
    if (current !== null) letGo(current)
    current = null
  }
  return {
    enter: async (dir) => {
      if (current?.dir === dir) return current
      leave()
      const { release } = await restorer.handle()
      current = { dir, open: open(dir), folding: createFolding(), users: 1, release }
      return current
    },
    leave,
    refuse: (dir, problem) => {
      refused.set(dir, problem)
    },
    refusal,
    lose: () => {
      isLost = true
    },
  }
}
