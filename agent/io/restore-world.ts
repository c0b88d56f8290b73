/** What `open` and restores get from this machine. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { fail, problemOf } from '#shared/errors.ts'
import type { OpenWorld } from '../core/restore-ports.ts'
import { folderSource } from './object-source-folder.ts'
import { handedSource } from './object-source-handed.ts'
import { urlSource } from './object-source-urls.ts'
import { openTarget } from './restore-fs.ts'
import { startExtractors } from './restore-workers.ts'

const MOST_THREADS = 16
/** Jobs of about 4 MiB: with sixteen a thread, memory stays below a GiB where a machine has eight cores. */
const FAR = 8
const NEAR = 2

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
    extractors: (idKey, far) =>
      startExtractors({
        idKey,
        tag,
        threads: Math.min(MOST_THREADS, availableParallelism()),
        each: far ? FAR : NEAR,
      }),
  }
}
