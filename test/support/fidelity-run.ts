/** One backup and its restore by the agent's own code: the threads' work done in this one, the control plane in memory. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Rig } from './agent-backup.ts'
import { type OpenRun, runOpen, withoutThreads } from './run-open.ts'

export type Restored = OpenRun & {
  /** What was backed up, where it was restored. */
  readonly place: string
  readonly dispose: () => void
}

const BUCKET = 'bucket'

/** A new folder with what was stored, and what opens it. */
export const writeBucket = (r: Rig): string => {
  const folder = mkdtempSync(join(r.folder, 'restored-'))
  for (const [key, bytes] of r.cp.store) {
    const path = join(folder, BUCKET, key)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  writeFileSync(join(folder, 'identity'), `${r.identity.text}\n`)
  return folder
}

/** The newest backup, restored into a new folder. */
export const restoreNewest = async (
  r: Rig,
  world = withoutThreads(),
  prepare: (target: string) => void = () => undefined,
): Promise<Restored> => {
  const folder = writeBucket(r)
  const target = join(folder, 'target')
  mkdirSync(target)
  prepare(target)
  const run = await runOpen(
    [join(folder, BUCKET), '--identity', join(folder, 'identity'), '--json', 'restore', target],
    { world },
  )
  return {
    ...run,
    place: join(target, r.source),
    dispose: () => rmSync(folder, { recursive: true, force: true }),
  }
}
