/** The port `OwnPriority`: nice values of every thread (Linux has one for each), and their place at the disk. */
import { readdirSync } from 'node:fs'
import { constants, getPriority, setPriority } from 'node:os'
import { problemOf } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import type { OwnPriority } from '../ports/priority.ts'
import { native } from './native.ts'

const LOW = constants.priority.PRIORITY_BELOW_NORMAL
/** ioprio_set(2): best effort, and of that the last; as if never set. */
const DISK_LAST = (2 << 13) | 7
const DISK_USUAL = 0

/** Threads that are made later have what the one has that makes them. */
const threads = (): readonly number[] => {
  try {
    return readdirSync('/proc/self/task').map(Number)
  } catch {
    return [process.pid]
  }
}

const setAll = (nice: number, disk: number): void => {
  for (const thread of threads()) {
    setPriority(thread, nice)
    native()?.setDiskPriority(thread, disk)
  }
}

export const ownPriority = (log: Log): OwnPriority => {
  let users = 0
  let before = 0
  const set = (nice: number, disk: number): void => {
    try {
      setAll(nice, disk)
    } catch (error) {
      // Only root may go back up: then this process stays below the others.
      log.debug({ nice, problem: problemOf(error) }, 'the priority stays as it is')
    }
  }
  return {
    lower: () => {
      users += 1
      if (users === 1) {
        before = getPriority()
        set(Math.max(before, LOW), DISK_LAST)
      }
      let isOver = false
      return () => {
        if (isOver) return
        isOver = true
        users -= 1
        if (users === 0) set(before, DISK_USUAL)
      }
    },
  }
}
