/** What `open` and restores get from this machine. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { fail, problemOf } from '#shared/errors.ts'
import type {
  Extractors,
  OpenWorld,
  PlaceAsk,
  ReadOnce,
  RestoreTarget,
} from '../core/restore-ports.ts'
import { folderSource } from './object-source-folder.ts'
import { readOnce } from './object-source-read.ts'
import { handedSource } from './object-source-handed.ts'
import { urlSource } from './object-source-urls.ts'
import { openTarget } from './restore-fs.ts'
import { openPlace } from './restore-place.ts'
import { startExtractors } from './restore-workers.ts'

/** What restores that the control plane orders get from this machine. */
export const restoreWorld = (threads: number): RestoreWorld => {
  const count = Math.min(MOST_OF_AGENT, threads)
  return {
    readOnce,
    place: openPlace,
    extractors: (idKey, tag) =>
      startExtractors({ idKey, tag, threads: count, each: Math.ceil(WIDTH_OF_AGENT / count) }),
  }
}

type RestoreWorld = {
  readonly readOnce: ReadOnce
  readonly place: (ask: PlaceAsk) => RestoreTarget
  readonly extractors: (idKey: Uint8Array, tag: string) => Extractors
}

/** An agent shares its machine with what it is there for. */
const MOST_OF_AGENT = 4
/** Jobs of about 4 MiB under way at once. */
const WIDTH_OF_AGENT = 8

const MOST_THREADS = 8
/** Jobs under way at once: as many as a store far away needs, and two in each thread. */
const WIDTH = 8
const LEAST_EACH = 2

export const openWorld = (): OpenWorld => {
  const tag = randomBytes(6).toString('hex')
  return {
    folder: folderSource,
    urls: urlSource,
    handed: handedSource,
    readText: async (path) => {
      try {
        return await readFile(path, 'utf8')
      } catch (error) {
        throw fail('SOURCE_UNREADABLE', { path, problem: problemOf(error) }, { cause: error })
      }
    },
    target: (folder) => openTarget(folder, tag),
    extractors: (idKey, far) => {
      const threads = Math.min(MOST_THREADS, availableParallelism())
      const each = far ? Math.max(LEAST_EACH, Math.ceil(WIDTH / threads)) : LEAST_EACH
      return startExtractors({ idKey, tag, threads, each })
    },
  }
}
