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
let leaving = false

/** What fails now fails because it was ended. */
export const isLeaving = (): boolean => leaving

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
  } catch (error) {
    // Whoever ends us waits for `leave` alone.
    if (leaving) await new Promise(() => undefined)
    throw error
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
  leaving = true
  const asked = new Set<number>()
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    // Others may have been started since the last look; who lost its parent is still on the list.
    const fresh = family(process.pid).filter((pid) => pid !== process.pid && !asked.has(pid))
    for (const pid of fresh) asked.add(pid)
    signal(fresh, 'SIGTERM')
    const left = [...asked].filter(isRunning)
    if (left.length === 0 || performance.now() > deadline) {
      signal(left, 'SIGKILL')
      break
    }
    await sleep(POLL_MS)
  }
  for (const folder of folders) remove(folder)
  process.exit(code)
}

export const leaveCleanlyOnSignals = (): void => {
  process.once('SIGINT', () => void leave(130))
  process.once('SIGTERM', () => void leave(143))
}
