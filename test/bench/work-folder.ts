/** Where a benchmark works: a folder of its own, gone at its end and on Ctrl-C, with whatever still runs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { family, isRunning } from './measure.ts'

const PREFIX = 'holdfast-bench-'
/** So long may programs take to end when they are asked to. */
const PATIENCE_MS = 20_000
const POLL_MS = 50

const folders = new Set<string>()

const remove = (path: string): void => {
  rmSync(path, { recursive: true, force: true, maxRetries: 5 })
  folders.delete(path)
}

/** A new folder below `parent` for the time of `use`. */
export const inWorkFolder = async <T>(
  parent: string,
  use: (folder: string) => Promise<T>,
): Promise<T> => {
  const folder = mkdtempSync(join(parent, PREFIX))
  folders.add(folder)
  try {
    return await use(folder)
  } finally {
    remove(folder)
  }
}

const signal = (pids: readonly number[], name: NodeJS.Signals): void => {
  for (const pid of pids.filter(isRunning)) {
    try {
      process.kill(pid, name)
    } catch {
      continue // it ended between looking and asking
    }
  }
}

/** Ends everything that this process has started, then removes what it has made. */
const leave = async (code: number): Promise<void> => {
  const below = family(process.pid).filter((pid) => pid !== process.pid)
  signal(below, 'SIGTERM')
  const deadline = performance.now() + PATIENCE_MS
  while (below.some(isRunning) && performance.now() < deadline) await sleep(POLL_MS)
  signal(below, 'SIGKILL')
  for (const folder of folders) remove(folder)
  process.exit(code)
}

export const leaveCleanlyOnSignals = (): void => {
  process.once('SIGINT', () => void leave(130))
  process.once('SIGTERM', () => void leave(143))
}
