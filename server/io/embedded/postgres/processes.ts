import { execFile } from 'node:child_process'
import { readFile, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { SECOND, type Ms } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import { unavailable } from '../../db/errors.ts'

/** What a running server's `postmaster.pid` says that we need. */
export type Running = { readonly pid: number; readonly socket: string }

const run = promisify(execFile)

/** Reads `postmaster.pid`: line 1 is the pid, line 5 the socket folder. Null for a file that is not (yet) like that. */
export const parsePidFile = (text: string): Running | null => {
  const [pid = '', , , , socket = ''] = text.split('\n')
  return /^[1-9]\d*$/.test(pid) && socket.startsWith('/') ? { pid: Number(pid), socket } : null
}

export const readPidFile = async (data: string): Promise<Running | null> =>
  readFile(join(data, 'postmaster.pid'), 'utf8').then(parsePidFile, () => null)

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // EPERM: it lives, as another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

const sameFile = async (a: string, b: string): Promise<boolean> => {
  const [one, two] = await Promise.all([stat(a), stat(b)])
  return one.dev === two.dev && one.ino === two.ino
}

/** On Linux: a process named postgres that works in `data`, as the postmaster and all of its children do. */
const worksIn = async (pid: number, data: string): Promise<boolean> => {
  try {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8')
    return name.trim() === 'postgres' && (await sameFile(`/proc/${pid}/cwd`, data))
  } catch {
    return false // gone, or another user's
  }
}

const hasCommand = async (pid: number, data: string): Promise<boolean> => {
  const { stdout } = await run('ps', ['-o', 'command=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }))
  return stdout.includes('postgres') && stdout.includes(data)
}

/** Whether the process `pid` lives and is the PostgreSQL of `data`, and not another that got its number since. */
export const isServerOf = async (pid: number, data: string): Promise<boolean> =>
  process.platform === 'linux' ? worksIn(pid, data) : isAlive(pid) && (await hasCommand(pid, data))

const processesIn = async (data: string): Promise<readonly number[]> => {
  if (process.platform !== 'linux') return []
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const at = await Promise.all(pids.map(async (pid) => worksIn(pid, data)))
  return pids.filter((_, index) => at[index] === true)
}

const until = async (done: () => Promise<boolean>, span: Ms, clock: Clock): Promise<boolean> => {
  const never = new AbortController().signal
  const end = clock.monotonic() + span
  while (!(await done())) {
    if (clock.monotonic() >= end) return false
    await clock.sleep(20, never)
  }
  return true
}

/**
 * The server that runs on `data`, or null. A postmaster that was killed may have left children, which hold its memory:
 * they are waited for. A `postmaster.pid` whose number now belongs to another program is removed, for PostgreSQL itself
 * would take that program for a server; every other stale one it sees through, and its checks are better than ours.
 */
export const findRunning = async (data: string, clock: Clock): Promise<Running | null> => {
  const recorded = await readPidFile(data)
  if (recorded !== null && (await isServerOf(recorded.pid, data))) return recorded
  const noneLeft = async (): Promise<boolean> => (await processesIn(data)).length === 0
  if (!(await until(noneLeft, 10 * SECOND, clock))) {
    const pids = (await processesIn(data)).join(', ')
    throw unavailable(`processes of a server without a head still run on ${data}: ${pids}`)
  }
  if (recorded !== null && isAlive(recorded.pid))
    await rm(join(data, 'postmaster.pid'), { force: true })
  return null
}

// "Fast": open transactions are rolled back, everything is written. "Immediate": as in a crash, replayed at the next start.
const STEPS = [
  ['SIGINT', 20 * SECOND],
  ['SIGQUIT', 5 * SECOND],
  ['SIGKILL', 5 * SECOND],
] as const

/** Ends the server `pid` of `data`, ever more firmly, and waits until it is gone. */
export const stopServer = async (pid: number, data: string, clock: Clock): Promise<void> => {
  const gone = async (): Promise<boolean> => !(await isServerOf(pid, data))
  for (const [signal, span] of STEPS) {
    if (await gone()) return
    try {
      process.kill(pid, signal)
    } catch {
      // It went between the question and the signal.
    }
    if (await until(gone, span, clock)) return
  }
  throw unavailable(`process ${pid} does not end`)
}
