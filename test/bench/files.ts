/** The workload `files`: a real tree of this machine, from memory where there is room for it. */
import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync, statfsSync, statSync } from 'node:fs'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { problemOf } from '#shared/errors.ts'
import { formatBytes, formatCount, KiB } from '#shared/units.ts'
import { compare, type Input } from './compare.ts'
import { holdingsOf, measure } from './measure.ts'
import type { BenchReport, BenchSettings } from './report.ts'
import { inWorkFolder, isLeaving } from './work-folder.ts'

const MEMORY = '/dev/shm'
/** The copy, a store of what cannot be compressed, and a restored tree. */
const TREES = 3

/** Bytes that they take on disk, each file once. What cannot be seen is not copied either. */
const sizeOf = (paths: readonly string[]): number => {
  const { stdout } = spawnSync('du', ['-skc', '--', ...paths], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  })
  return KiB * Number(/(\d+)\ttotal\n$/.exec(stdout)?.[1] ?? Number.NaN)
}

/** Why the tree is not copied into memory; null where it can be. */
const objection = (size: number, workIn: string): string | null => {
  if (!existsSync(MEMORY)) return `there is no ${MEMORY}`
  const isShared = statSync(workIn).dev === statSync(MEMORY).dev
  const { bavail, bsize } = statfsSync(MEMORY)
  const room = Math.min(bavail * bsize, freemem())
  const needed = size * (isShared ? TREES : 1.5)
  return room > needed
    ? null
    : `${MEMORY} has ${formatBytes(room)}, and that takes ${formatBytes(needed)}`
}

/** One archive, so that hard links between the paths stay what they are. */
const COPY =
  'to=$1; shift; tar --xattrs -cSf - -C / -- "$@" | tar --xattrs --xattrs-include="*" -xpSf - -C "$to"'

/** Copies everything with its times, owners, attributes and links; what cannot be read is not part of the input then. */
const copy = async (
  paths: readonly string[],
  folder: string,
  settings: BenchSettings,
): Promise<readonly string[]> => {
  const below = paths.map((path) => `.${path}`)
  try {
    await measure({ argv: ['sh', '-c', COPY, 'sh', folder, ...below] })
  } catch (error) {
    if (isLeaving()) throw error
    settings.say(`not everything could be copied: ${problemOf(error).slice(0, 300)}`)
  }
  return paths.map((path) => join(folder, path))
}

const run = async (
  settings: BenchSettings,
  says: string,
  { paths, holds }: Pick<Input, 'paths' | 'holds'>,
): Promise<BenchReport> => {
  const subject = {
    name: 'files',
    says,
    input: async () => Promise.resolve({ paths, holds, change: null }),
  }
  // It has the size that it has.
  return await compare(subject, { ...settings, scale: 1 })
}

const fromDisk = async (
  paths: readonly string[],
  settings: BenchSettings,
): Promise<BenchReport> => {
  settings.say(`reading ${paths.join(' ')} once, so that nobody pays for a cold cache`)
  await measure({
    argv: ['sh', '-c', 'tar -cf - -- "$@" 2>/dev/null | cat >/dev/null', 'sh', ...paths],
  })
  // It may change meanwhile.
  return await run(settings, 'a tree of this machine, read from disk', { paths, holds: null })
}

export const benchFiles = async (settings: BenchSettings): Promise<BenchReport> => {
  const chosen = settings.chosen.length === 0 ? ['/usr/share', '/usr/lib'] : settings.chosen
  const paths = chosen.map((path) => realpathSync(path))
  const problem = objection(sizeOf(paths), settings.workIn)
  if (problem !== null) {
    settings.say(`the tree is read from disk: ${problem}`)
    return await fromDisk(paths, settings)
  }
  return await inWorkFolder(MEMORY, async (folder) => {
    settings.say(`copying ${paths.join(' ')} to ${MEMORY}`)
    const copies = await copy(paths, folder, settings)
    const holds = holdingsOf(copies)
    const what = `${formatCount(holds.files)} files, ${formatBytes(holds.bytes)}`
    const says = `a tree of this machine, copied to memory: ${what}`
    return await run(settings, says, { paths: copies, holds })
  })
}
