/** What a process, or a group of processes, costs: wall time, CPU time, peak memory; all read from /proc. */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Linux counts CPU time in ticks of 10 ms for every process that is not built by hand. */
const TICK_S = 0.01
const SAMPLE_MS = 20

export type Cost = { readonly wall_s: number; readonly cpu_s: number; readonly peak_kib: number }

type Stat = {
  readonly state: string
  readonly parent: number
  readonly own: number
  readonly waited: number
}

const readStat = (pid: number): Stat | null => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in parentheses may hold anything, so fields are counted after the last ')'.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const field = (n: number): number => Number(fields[n - 3])
    return {
      state: fields[0] ?? '',
      parent: field(4),
      own: (field(14) + field(15)) * TICK_S,
      waited: (field(16) + field(17)) * TICK_S,
    }
  } catch {
    return null // it ended between listing and reading
  }
}

const memoryOf = (pid: number, field: 'VmHWM' | 'VmRSS'): number => {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1')
    const line = text.split('\n').find((one) => one.startsWith(`${field}:`))
    return Number(/(\d+) kB$/.exec(line ?? '')?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** In KiB: the most since it began or `resetPeak`. */
export const peakMemory = (pid: number): number => memoryOf(pid, 'VmHWM')
export const memoryNow = (pid: number): number => memoryOf(pid, 'VmRSS')

/** Not when it has ended and only waits to be noticed. */
export const isRunning = (pid: number): boolean => {
  const stat = readStat(pid)
  return stat !== null && stat.state !== 'Z'
}

/** The process and all below it that run now. */
export const family = (root: number): number[] => {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = readStat(Number(name))
    if (stat !== null) parents.set(Number(name), stat.parent)
  }
  const below = [root]
  for (const pid of below)
    for (const [child, parent] of parents) if (parent === pid) below.push(child)
  return below
}

/** CPU seconds used so far by these processes and by the children that they have waited for. */
export const cpuOf = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => {
    const stat = readStat(pid)
    return stat === null ? sum : sum + stat.own + stat.waited
  }, 0)

/** CPU seconds used so far by the process's threads of this name. */
export const cpuOfThreads = (pid: number, isOne: (name: string) => boolean): number => {
  let seconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const folder = `/proc/${pid}/task/${thread}`
      if (!isOne(readFileSync(`${folder}/comm`, 'utf8').trim())) continue
      const text = readFileSync(`${folder}/stat`, 'latin1')
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
      seconds += (Number(fields[11]) + Number(fields[12])) * TICK_S
    } catch {
      continue // it ended between listing and reading
    }
  }
  return seconds
}

/** From here on `peakMemory` counts from the present use. */
export const resetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5')

export type Command = {
  readonly argv: readonly [string, ...string[]]
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Runs a command to its end and measures it with everything it starts; refuses one that fails. */
export const measure = async (command: Command): Promise<Cost> => {
  const [program, ...args] = command.argv
  const started = performance.now()
  // The shell's `times` gives the CPU time of all waited children, after the command is over.
  const child = spawn(
    'sh',
    ['-c', '"$@" 3>&-; code=$?; times >&3; exit $code', 'sh', program, ...args],
    {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...command.env },
      cwd: command.cwd,
    },
  )
  let errors = ''
  let times = ''
  child.stderr?.on('data', (data: Buffer) => (errors = (errors + data.toString()).slice(-4000)))
  child.stdio[3]?.on('data', (data: Buffer) => (times += data.toString()))
  let peak = 0
  const pid = child.pid ?? 0
  const sampler = setInterval(() => {
    peak = Math.max(
      peak,
      family(pid).reduce((sum, each) => sum + peakMemory(each), 0),
    )
  }, SAMPLE_MS)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  clearInterval(sampler)
  const wall = (performance.now() - started) / 1000
  if (code !== 0) throw new Error(`${command.argv.join(' ')} ended with ${String(code)}: ${errors}`)
  return { wall_s: wall, cpu_s: childSeconds(times), peak_kib: peak }
}

/** The second line of `times` is that of the children: `0m1.23s 0m0.45s`. */
const childSeconds = (times: string): number => {
  const line = times.trim().split('\n')[1] ?? ''
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  )
}

export type Holdings = { readonly files: number; readonly bytes: number }

/** Regular files below these folders, and the bytes in them. */
export const holdingsOf = (folders: readonly string[]): Holdings => {
  let files = 0
  let bytes = 0
  const left = [...folders]
  for (let folder = left.pop(); folder !== undefined; folder = left.pop()) {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) left.push(path)
      else if (entry.isFile()) {
        files += 1
        bytes += statSync(path).size
      }
    }
  }
  return { files, bytes }
}

export const bytesBelow = (folder: string): number => holdingsOf([folder]).bytes
