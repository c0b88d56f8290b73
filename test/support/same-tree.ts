/**
 * Two folders compared: type, mode, owner, size, content, time, link target, device, hard links; where asked for, time
 * to the nanosecond, extended attributes, access lists and holes as the system's own program and file system tell them.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  type BigIntStats,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs'
import { native } from '#agent/io/native.ts'
import { dataRuns } from '#agent/core/sparse.ts'
import { holesIn, mayHaveHoles } from '#agent/io/sparse.ts'

/** A byte string, relative to the folder compared; '' is the folder itself. */
type Path = string

/** Everything of one entry that a restore must bring back. */
export type Fact = Readonly<Record<string, string>>

const raw = (path: Path): Buffer => Buffer.from(path, 'latin1')

const typeOf = (stat: BigIntStats): string => {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isFIFO()) return 'fifo'
  if (stat.isCharacterDevice()) return 'char'
  return stat.isBlockDevice() ? 'block' : 'socket'
}

/** With `exact`, what each path has as extended attributes. */
type Exact = ReadonlyMap<Path, string> | null

const factOf = (path: Path, stat: BigIntStats, exact: Exact): Fact => {
  const type = typeOf(stat)
  return {
    type,
    // Links have no mode of their own that could be set.
    ...(type === 'symlink' ? {} : { mode: (stat.mode & 0o7777n).toString(8) }),
    owner: `${stat.uid}:${stat.gid}`,
    ...(exact === null
      ? { mtime_us: String(stat.mtimeNs / 1000n) }
      : { mtime_ns: String(stat.mtimeNs), attributes: exact.get(path) ?? 'none' }),
    ...(exact !== null && type === 'file' ? { holes: holesText(path, stat) } : {}),
    ...(type === 'file' ? { size: String(stat.size), sha256: contentOf(path, stat) } : {}),
    ...(type === 'symlink' ? { target: readlinkSync(raw(path), 'latin1') } : {}),
    ...(type === 'char' || type === 'block' ? { device: String(stat.rdev) } : {}),
  }
}

const buffer = Buffer.allocUnsafeSlow(1 << 20)

/** The data alone, each run with its place: a hole of a TiB reads as zeros for hours. */
const contentOf = (path: Path, stat: BigIntStats): string => {
  const hash = createHash('sha256')
  const fd = openSync(raw(path), 'r')
  try {
    const system = native()
    const size = Number(stat.size)
    const holes = system === null || !mayHaveHoles(stat) ? [] : holesIn(system, fd, size)
    for (const [from, length] of dataRuns(holes, { from: 0, end: size, room: Infinity })) {
      for (let at = from; at < from + length;) {
        const n = readSync(fd, buffer, 0, Math.min(buffer.length, from + length - at), at)
        if (n === 0) break
        const bytes = buffer.subarray(0, n)
        if (holes.length === 0) hash.update(bytes)
        // A block of zeros may lie in a hole of one and not of the other.
        else if (bytes.some((byte) => byte !== 0)) hash.update(`${at} `).update(bytes)
        at += n
      }
    }
    return hash.digest('hex')
  } finally {
    closeSync(fd)
  }
}

/** As getfattr tells them, ACLs as their bytes; what SELinux would add by itself is left out. */
const attributesBelow = (folder: string): Exact => {
  const args = ['-R', '-h', '-d', '-m', '^(user|trusted|system|security[.]capability)', '-e', 'hex']
  const text = execFileSync('getfattr', ['--absolute-names', ...args, '--', folder], {
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  })
  const found = new Map<Path, string>()
  for (const block of text.split('\n\n')) {
    const [head = '', ...lines] = block.split('\n').filter((line) => line !== '')
    if (!head.startsWith('# file: ')) continue
    const path = head
      .slice(8)
      .replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))
    found.set(path, lines.sort().join(' '))
  }
  return found
}

/** Runs of whole blocks of zeros that take no space, as the file system reports them. */
const holesText = (path: Path, stat: BigIntStats): string => {
  if (stat.blocks * 512n >= stat.size) return 'none'
  const system = native()
  if (system === null) return 'not seen'
  const fd = openSync(raw(path), 'r')
  try {
    return holesIn(system, fd, Number(stat.size))
      .map(([offset, length]) => `${offset}+${length}`)
      .join(' ')
  } finally {
    closeSync(fd)
  }
}

/** The entries below `folder` by their path; hard links name the first path of their file. */
export const snapshot = (folder: string, isExact = false): Map<Path, Fact> => {
  const facts = new Map<Path, Fact>()
  const inodes = new Map<string, Path>()
  const top = Buffer.from(folder).toString('latin1')
  const exact = isExact ? attributesBelow(folder) : null
  const open = ['']
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const names = readdirSync(raw(top + path), { encoding: 'latin1' }).sort()
    for (const name of names) {
      const child = `${path}/${name}`
      const stat = lstatSync(raw(top + child), { bigint: true })
      const fact = factOf(top + child, stat, exact)
      if (stat.isDirectory()) open.push(child)
      facts.set(child, stat.isDirectory() || stat.nlink === 1n ? fact : linked(child, fact, stat))
    }
  }
  function linked(path: Path, fact: Fact, stat: BigIntStats): Fact {
    const inode = `${stat.dev}:${stat.ino}`
    const first = inodes.get(inode) ?? path
    inodes.set(inode, first)
    return { ...fact, links: String(stat.nlink), linked: first }
  }
  return facts
}

/** What differs between two snapshots, a line each; paths in `ignored` do not count. */
export const differences = (
  wanted: ReadonlyMap<Path, Fact>,
  got: ReadonlyMap<Path, Fact>,
  ignored: ReadonlySet<Path> = new Set(),
): string[] => {
  const lines: string[] = []
  for (const [path, fact] of wanted) {
    if (ignored.has(path)) continue
    const other = got.get(path)
    if (other === undefined) lines.push(`${path}: missing`)
    else lines.push(...factDifferences(path, fact, other))
  }
  for (const path of got.keys()) {
    if (!wanted.has(path) && !ignored.has(path)) lines.push(`${path}: not expected`)
  }
  return lines
}

const factDifferences = (path: Path, fact: Fact, other: Fact): string[] =>
  [...new Set([...Object.keys(fact), ...Object.keys(other)])]
    .filter((field) => fact[field] !== other[field])
    .map((field) => `${path}: ${field} ${fact[field] ?? 'none'} became ${other[field] ?? 'none'}`)

/** What differs between two folders, the folders themselves aside; empty when they are the same. */
export const sameTree = (a: string, b: string, isExact = false): string[] =>
  differences(snapshot(a, isExact), snapshot(b, isExact))
