/** Random vaults for `flip`: several backups of a changing tree, with every kind of object and of entry. */
import { createHash } from 'node:crypto'
import type { Entry } from '#shared/format/tree.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import type { Fact } from '../support/same-tree.ts'
import type { Seeded } from '../support/seeded.ts'
import { createVaultWriter, type VaultWriter, type WrittenBackup } from '../support/vault-writer.ts'
import type { TestEntry } from '../support/vault-tree.ts'

export type World = { readonly writer: VaultWriter; readonly backups: readonly WrittenBackup[] }

const NAMES = ['a', 'b c', 'é', '\xff\xfe', 'x.txt', "q'uote", 'new\nline', '-rf', '.hidden', 'Z']
/** Who is not root could not look at what is restored without rights. */
const ROOT = process.geteuid?.() === 0
const MODES = ROOT
  ? [0o644, 0o600, 0o755, 0o400, 0o1777, 0o4755, 0o000]
  : [0o644, 0o600, 0o755, 0o1777, 0o4755]
const BASE = 1_700_000_000_000_000_000n

export type Size = { readonly folders: number; readonly others: number; readonly backups: number }
export const USUAL: Size = { folders: 6, others: 34, backups: 3 }
export const TINY: Size = { folders: 1, others: 1, backups: 1 }

export const makeWorld = (chance: Seeded, size = USUAL): World => {
  const writer = createVaultWriter({
    random: chance.fork('keys').bytes,
    packTarget: chance.pick([48, 150, 400]) * 1024,
    frameTarget: chance.pick([2, 16, 64]) * 1024,
    chunk: chance.pick([3000, 9000, 40_000]),
    entriesPerSegment: chance.pick([3, 8, 20]),
    itemsPerFence: chance.pick([2, 3, 50]),
    listAbove: chance.pick([3, 8]),
    locatorsPerList: chance.pick([2, 5]),
    stride: chance.pick([1, 90, 255]),
  })
  let tree = makeTree(chance, size)
  const backups: WrittenBackup[] = []
  for (let i = 0; i < size.backups; i += 1) {
    if (i > 0) tree = changeTree(chance, tree)
    if (i === size.backups - 1) {
      writer.nextSigner()
      if (chance.chance(0.5)) writer.nextSecret()
    }
    backups.push(writer.backup(tree))
  }
  return { writer, backups }
}

const common = (chance: Seeded): Pick<Entry, 'mode' | 'uid' | 'gid' | 'mtime'> => ({
  mode: chance.pick(MODES),
  uid: chance.pick([0, 0, 1000, 65534]),
  gid: chance.pick([0, 0, 1000, 12345]),
  mtime: BASE + BigInt(chance.below(2 ** 31)) * 1_000_001n,
})

const makeTree = (chance: Seeded, { folders, others }: Size): readonly TestEntry[] => {
  const dirs = ['/']
  const entries: TestEntry[] = []
  for (let i = 0; i < folders; i += 1) {
    const dir = chance.pick(dirs)
    const name = `${chance.pick(NAMES)}${i}`
    const entry = common(chance)
    const mode = ROOT ? entry.mode : entry.mode | 0o700
    entries.push({ dir, name, entry: { ...entry, mode, type: 'directory' } })
    dirs.push(pathOf(dir, name))
  }
  for (let i = 0; i < others; i += 1) {
    entries.push(makeEntry(chance, chance.pick(dirs), `${chance.pick(NAMES)}-${i}`))
  }
  return [...entries, ...makeLinks(chance, dirs)]
}

const makeEntry = (chance: Seeded, dir: string, name: string): TestEntry => {
  const kind = chance.below(20)
  const entry = common(chance)
  if (kind === 0) return { dir, name, entry: { ...entry, type: 'symlink', target: '../\xfe/x' } }
  if (kind === 1) return { dir, name, entry: { ...entry, type: 'fifo' } }
  if (kind === 2) return sparse(chance, dir, name)
  return makeFile(chance, dir, name)
}

const makeFile = (chance: Seeded, dir: string, name: string): TestEntry => {
  const size = chance.pick([0, 1, 700, 5000, 30_000, 90_000])
  const data = content(chance, size === 0 ? 0 : 1 + chance.below(size))
  return { dir, name, data, entry: { ...common(chance), type: 'file', size: data.length } }
}

/** Some that compress, some that do not. */
const content = (chance: Seeded, size: number): Uint8Array =>
  chance.chance(0.7)
    ? chance.bytes(size)
    : Uint8Array.from(Buffer.alloc(size, `${chance.below(1e6)} the same line again\n`))

const sparse = (chance: Seeded, dir: string, name: string): TestEntry => {
  const data = chance.bytes(8000)
  const holes = [[0, 4096] as const, [8096, 100_000] as const, [112_096, 5000] as const]
  return { dir, name, data, entry: { ...common(chance), type: 'file', size: 117_096, holes } }
}

const makeLinks = (chance: Seeded, dirs: readonly string[]): readonly TestEntry[] => {
  const data = chance.bytes(20_000)
  const entry = { ...common(chance), type: 'file', size: data.length, hardlink: 'group' } as const
  return ['l1', 'l2', 'l3'].map((name) => ({ dir: chance.pick(dirs), name, data, entry }))
}

const changeTree = (chance: Seeded, tree: readonly TestEntry[]): readonly TestEntry[] =>
  tree.flatMap((test) => {
    if (test.entry.type !== 'file' || test.entry.hardlink !== undefined) return [test]
    const what = chance.below(8)
    if (what === 0) return []
    if (what === 1) return [makeFile(chance, test.dir, test.name)]
    return [test]
  })

/** What a restore must bring back, from what was written. */
export const factsOf = (backup: WrittenBackup, root: boolean): Map<string, Fact> =>
  new Map(
    backup.files.map(({ test }) => [pathOf(test.dir, test.name), factOf(test, root)] as const),
  )

const factOf = ({ entry, data = new Uint8Array() }: TestEntry, root: boolean): Fact => {
  const { type, uid, gid, mode, mtime } = entry
  const me = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0]
  const own = root || (uid === me[0] && gid === me[1])
  const full = type === 'file' ? fill(entry, data) : data
  return {
    type,
    ...(type === 'symlink' ? {} : { mode: (own ? mode : mode & 0o1777).toString(8) }),
    owner: root ? `${uid}:${gid}` : me.join(':'),
    mtime_us: String(mtime / 1000n),
    ...(type === 'file' ? { size: String(full.length), sha256: hex(full) } : {}),
    ...(type === 'symlink' ? { target: entry.target ?? '' } : {}),
  }
}

const hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Content with its holes as zeros. */
const fill = ({ size = 0, holes = [] }: TestEntry['entry'], data: Uint8Array): Uint8Array => {
  const out = Buffer.alloc(size)
  let at = 0
  let from = 0
  for (const [offset, length] of [...holes, [size, 0] as const]) {
    out.set(data.subarray(from, from + offset - at), at)
    from += offset - at
    at = offset + length
  }
  return out
}
