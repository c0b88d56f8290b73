/** Two folders compared: type, mode, owner, size, content, time to the microsecond, link target, device, hard links. */
import { createHash } from 'node:crypto'
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

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

const factOf = (path: Path, stat: BigIntStats): Fact => {
  const type = typeOf(stat)
  return {
    type,
    // Links have no mode of their own that could be set.
    ...(type === 'symlink' ? {} : { mode: (stat.mode & 0o7777n).toString(8) }),
    owner: `${stat.uid}:${stat.gid}`,
    mtime_us: String(stat.mtimeNs / 1000n),
    ...(type === 'file' ? { size: String(stat.size), sha256: contentOf(path) } : {}),
    ...(type === 'symlink' ? { target: readlinkSync(raw(path), 'latin1') } : {}),
    ...(type === 'char' || type === 'block' ? { device: String(stat.rdev) } : {}),
  }
}

const contentOf = (path: Path): string =>
  createHash('sha256')
    .update(readFileSync(raw(path)))
    .digest('hex')

/** The entries below `folder` by their path; hard links name the first path of their file. */
export const snapshot = (folder: string): Map<Path, Fact> => {
  const facts = new Map<Path, Fact>()
  const inodes = new Map<string, Path>()
  const top = Buffer.from(folder).toString('latin1')
  const open = ['']
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const names = readdirSync(raw(top + path), { encoding: 'latin1' }).sort()
    for (const name of names) {
      const child = `${path}/${name}`
      const stat = lstatSync(raw(top + child), { bigint: true })
      const fact = factOf(top + child, stat)
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
export const sameTree = (a: string, b: string): string[] => differences(snapshot(a), snapshot(b))
