/** The local policy against what is asked: asked when an order comes, and again when it is carried out. */
import type { Speeds } from '#shared/limits.ts'
import { type Bytes, isDir } from '#shared/format/tree-order.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { showBytes } from '../core/open-show.ts'
import { allows, type Kind, refused } from '../core/policy.ts'
import { normalise, planWalk } from '../core/sources.ts'
import type { Policies } from '../ports/policy.ts'

const bytesOf = (text: string): Bytes => Buffer.from(text, 'utf8').toString('latin1')

export type Guard = {
  /** Why this machine is not backed up so; null where it is. Of several paths one that is not allowed is enough. */
  readonly backup: (order: Pick<BackupStart, 'sources'>) => Error | null
  /** Why nothing is restored to this path, which is text; null where it is. */
  readonly restore: (path: string) => Error | null
  /** What is never sent or fetched faster; the last that could be read. */
  readonly ceiling: () => Speeds
}

export const createGuard = (policies: Policies): Guard => {
  let ceiling: Speeds = { upload: null, download: null }
  const objection = (kind: Kind, paths: Iterable<Bytes>): Error | null => {
    try {
      const policy = policies.read()
      for (const path of paths)
        if (!isDir(path) || !allows(policy, kind, policies.real(path)))
          return refused(policy, kind, showBytes(path))
      return null
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }
  return {
    backup: ({ sources }) => objection('source', planWalk(sources).roots.keys()),
    ceiling: () => {
      try {
        ;({ ceiling } = policies.read())
      } catch {
        // Whatever is asked for meanwhile is refused with the reason.
      }
      return ceiling
    },
    restore: (path) => objection('restore', [normalise(path) ?? bytesOf(path)]),
  }
}
