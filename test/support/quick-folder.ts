/** Where files that are gone in a minute cost no disk. */
import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { GiB } from '#shared/units.ts'

const IN_MEMORY = '/dev/shm'
/** Containers often have some 64 MiB there. */
const PLENTY = 4 * GiB

const roomIn = (folder: string): number => {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize
  } catch {
    return 0
  }
}

/** Memory where there is plenty, else the folder for temporary files. Programs may not be run from there. */
export const quickFolder = (): string => (roomIn(IN_MEMORY) > PLENTY ? IN_MEMORY : tmpdir())
