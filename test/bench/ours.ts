/** What a backup and a restore of ours cost, each part by itself. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Instance, Protected } from '../support/instance.ts'
import {
  type Command,
  type Cost,
  cpuOf,
  cpuOfThreads,
  family,
  peakMemory,
  resetPeak,
} from './measure.ts'
import type { Shares } from './runs.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The store is a thread of the control plane's process; libuv's threads work for it (files, hashes) and for nobody else
 * that counts.
 */
const isStore = (name: string): boolean => name === 'embedded-s3' || name === 'libuv-worker'

const sharesNow = (plane: number, agent: number): Shares => {
  const store = cpuOfThreads(plane, isStore)
  const below = family(plane).filter((pid) => pid !== plane && pid !== agent)
  return {
    agent: cpuOf([agent]),
    control_plane: cpuOfThreads(plane, () => true) - store,
    store,
    database: cpuOf(below),
  }
}

export type BackupCost = Cost & {
  readonly all: number
  readonly shares: Shares
  /** Of the process of the control plane, which is the embedded store's too. */
  readonly plane_peak_kib: number
}

/** One backup through the running instance: the agent's own cost, and that of all its parts together. */
export const costOfBackup = async (
  instance: Instance,
  server: Pick<Protected, 'agent' | 'jobId'>,
): Promise<BackupCost> => {
  const plane = instance.controlPlane.pid ?? 0
  const agent = server.agent.pid ?? 0
  resetPeak(agent)
  resetPeak(plane)
  const before = sharesNow(plane, agent)
  const started = performance.now()
  const ended = await instance.backup(server.jobId)
  const wall = (performance.now() - started) / 1000
  if (ended['status'] !== 'completed' && ended['status'] !== 'partial')
    throw new Error(`the backup ended as ${JSON.stringify(ended)}`)
  const after = sharesNow(plane, agent)
  const shares = {
    agent: after.agent - before.agent,
    control_plane: after.control_plane - before.control_plane,
    store: after.store - before.store,
    database: after.database - before.database,
  }
  return {
    wall_s: wall,
    cpu_s: shares.agent,
    all: shares.agent + shares.control_plane + shares.store + shares.database,
    peak_kib: peakMemory(agent),
    plane_peak_kib: peakMemory(plane),
    shares,
  }
}

/** The folder of the embedded store. */
export const storeOf = (instance: Instance): string => join(instance.data, 's3')

/** The newest backup, with the kit, straight from the bucket. */
export const restoreCommand = (instance: Instance, target: string): Command => ({
  argv: [
    process.execPath,
    ...['--disable-warning=ExperimentalWarning', join(root, 'server/main.ts'), 'open'],
    ...[join(storeOf(instance), 'holdfast'), '--identity', instance.kit, 'restore', target],
  ],
})
