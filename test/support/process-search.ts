/** Everything of a running process that can be read from outside: environment, arguments, open files, memory. Linux. */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
} from 'node:fs'
import { type Hit, type Search, searchFile } from './byte-search.ts'

export const canSearchProcesses = process.platform === 'linux'

export type Searched = {
  readonly hits: readonly Hit[]
  /** Bytes of memory that were read. */
  readonly memory: number
}

type Mapping = { readonly start: number; readonly end: number; readonly name: string }

const PAGE = 4096
/** Of the kernel, the same in every process, and beyond what a number can address. */
const KERNEL = ['[vsyscall]', '[vvar]', '[vvar_vclock]', '[vdso]']

const readableMappings = (pid: number): Mapping[] =>
  readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, start, end, rights, name = ''] =
        /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)$/.exec(line) ?? []
      if (start === undefined || end === undefined || rights?.startsWith('r') !== true) return []
      if (KERNEL.includes(name)) return []
      return [{ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16), name }]
    })

/** What is no longer mapped, or has no page behind it (a file that was cut), is passed over page by page. */
const readMemory = (fd: number, into: Uint8Array, at: number): number => {
  try {
    const got = readSync(fd, into, 0, into.length, at)
    if (got > 0) return got
  } catch {
    // Looked at more closely below.
  }
  const page = into.subarray(0, Math.min(PAGE, into.length))
  try {
    if (into.length > PAGE && readSync(fd, page, 0, page.length, at) === page.length)
      return page.length
  } catch {
    // It cannot be read: no secret can be read from it either.
  }
  page.fill(0)
  return page.length
}

const searchMemory = (search: Search, pid: number): Searched => {
  const fd = openSync(`/proc/${pid}/mem`, 'r')
  const hits: Hit[] = []
  let memory = 0
  try {
    for (const { start, end, name } of readableMappings(pid)) {
      const found = search.stack({
        where: `memory of ${pid} ${name}`.trim(),
        read: (into, position) => {
          const left = end - start - position
          if (left <= 0) return 0
          return readMemory(fd, into.subarray(0, Math.min(into.length, left)), start + position)
        },
      })
      hits.push(...found.hits)
      memory += found.size
    }
  } finally {
    closeSync(fd)
  }
  return { hits, memory }
}

const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() === true

const searchOpenFiles = (search: Search, pid: number): Hit[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    const path = `/proc/${pid}/fd/${name}`
    // Sockets and pipes block; what passed through them is recorded elsewhere.
    const target = readlinkSync(path)
    if (!target.startsWith('/') || target.startsWith('/dev/') || !isFile(path)) return []
    return searchFile(search, path).map((hit) => ({ ...hit, where: `open file ${target}` }))
  })

/** The process stands still meanwhile, so that nothing moves away under the search. */
export const searchProcess = (search: Search, pid: number): Searched => {
  // 0 and less name whole groups of processes: this one among them would never be woken again.
  if (!Number.isInteger(pid) || pid <= 1) throw new RangeError(`no process to search: ${pid}`)
  process.kill(pid, 'SIGSTOP')
  try {
    const small = ['environ', 'cmdline'].flatMap((name) =>
      search.bytes(`${name} of ${pid}`, readFileSync(`/proc/${pid}/${name}`)),
    )
    const { hits, memory } = searchMemory(search, pid)
    return { hits: [...small, ...searchOpenFiles(search, pid), ...hits], memory }
  } finally {
    process.kill(pid, 'SIGCONT')
  }
}

const parents = (): Map<number, number> => {
  const found = new Map<number, number>()
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      found.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    } catch {
      // It ended in this moment.
    }
  }
  return found
}

/** The process and all that descend from it, with their command lines. */
export const familyOf = (pid: number): Map<number, string> => {
  const all = parents()
  const family = new Map<number, string>()
  const open = [pid]
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    const parent = one
    try {
      const text = readFileSync(`/proc/${parent}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      family.set(parent, text)
    } catch {
      continue
    }
    for (const [child, of] of all) if (of === parent) open.push(child)
  }
  return family
}
