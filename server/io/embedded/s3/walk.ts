import { isUtf8 } from 'node:buffer'
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { bucketPath, ifThere, type Disk } from './disk.ts'
import { asideFragment, asideRoot } from './place.ts'

/**
 * The keys of a bucket in UTF-8 byte order, from any point on. Inside here a key is a *binary string*, one character a
 * byte: those compare with `<` in exactly that order. A folder sorts as its name with a slash behind it.
 */
export type Cursor = {
  /** Keys up to this one are past. The consumer may move it forward while it walks. */
  after: string
  /** Those that begin with it are past too. */
  wholly: boolean
}

export const toBinary = (key: string): string => Buffer.from(key).toString('latin1')

export const fromBinary = (key: string): string => Buffer.from(key, 'latin1').toString('utf8')

type Tree = {
  readonly root: string
  /** What a name adds to the key, null for names that are no part of one. */
  readonly fragment: (name: string, isFolder: boolean) => string | null
}

type Entry = {
  /** On the disk, below its folder. */
  readonly name: string
  readonly key: string
  readonly isFolder: boolean
}

type Folder = { readonly path: string; readonly key: string }

type Scope = {
  readonly tree: Tree
  readonly cursor: Cursor
  readonly prefix: string
  /** Names held for one folder; a larger folder is read again for each further so many. */
  readonly window: number
}

const isPast = (cursor: Cursor, { key, isFolder }: Omit<Entry, 'name'>): boolean => {
  if (cursor.wholly && key.startsWith(cursor.after)) return true
  if (!isFolder) return key <= cursor.after
  return key < cursor.after && !cursor.after.startsWith(key)
}

const isWanted = ({ cursor, prefix }: Scope, entry: Entry): boolean =>
  (entry.key.startsWith(prefix) || (entry.isFolder && prefix.startsWith(entry.key))) &&
  !isPast(cursor, entry)

const order = (a: Entry, b: Entry): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)

type Listed = {
  readonly name: string
  isDirectory(): boolean
  isFile(): boolean
  isSymbolicLink(): boolean
}

type Kind = 'file' | 'folder' | 'other'

/** Null: this file system does not say in a listing what an entry is. */
const listedKind = (listed: Listed): Kind | null => {
  if (listed.isFile()) return 'file'
  if (listed.isDirectory()) return 'folder'
  return listed.isSymbolicLink() ? 'other' : null
}

const lookedUpKind = async (path: string): Promise<Kind> => {
  const stats = await ifThere(lstat(path))
  return stats?.isFile() === true ? 'file' : stats?.isDirectory() === true ? 'folder' : 'other'
}

const pathIn = (folder: Folder, name: string): string => join(folder.path, fromBinary(name))

/** Null for what is no part of a wanted key. This runs for every name of a folder, so it makes nothing that it can avoid. */
const entryOf = (scope: Scope, folder: Folder, name: string, kind: Kind): Entry | null => {
  if (kind === 'other') return null
  const isFolder = kind === 'folder'
  const fragment = scope.tree.fragment(name, isFolder)
  if (fragment === null) return null
  const entry = { name, key: folder.key + fragment, isFolder }
  return isWanted(scope, entry) && isUtf8(Buffer.from(name, 'latin1')) ? entry : null
}

/** The first entries of a folder that are wanted and come after `from`, in order; `more` when there are others behind. */
const readWindow = async (
  scope: Scope,
  folder: Folder,
  from: Entry | null,
): Promise<{ readonly entries: readonly Entry[]; readonly more: boolean }> => {
  const handle = await ifThere(opendir(folder.path, { encoding: 'latin1', bufferSize: 512 }))
  if (handle === null) return { entries: [], more: false }
  const { window } = scope
  let entries: Entry[] = []
  let more = false
  for await (const listed of handle) {
    const kind = listedKind(listed) ?? (await lookedUpKind(pathIn(folder, listed.name)))
    const entry = entryOf(scope, folder, listed.name, kind)
    if (entry === null || (from !== null && order(entry, from) <= 0)) continue
    entries.push(entry)
    if (entries.length < 2 * window) continue
    entries = entries.sort(order).slice(0, window)
    more = true
  }
  entries.sort(order)
  return entries.length > window
    ? { entries: entries.slice(0, window), more: true }
    : { entries, more }
}

async function* walkFolder(scope: Scope, folder: Folder): AsyncGenerator<string> {
  let from: Entry | null = null
  for (;;) {
    const { entries, more } = await readWindow(scope, folder, from)
    for (const entry of entries) {
      from = entry
      if (isPast(scope.cursor, entry)) continue
      if (entry.isFolder) {
        yield* walkFolder(scope, { path: pathIn(folder, entry.name), key: entry.key })
      } else yield entry.key
    }
    if (!more) return
  }
}

const walkTree = (scope: Scope): AsyncGenerator<string> =>
  walkFolder(scope, { path: scope.tree.root, key: '' })

const takeKey = async (keys: AsyncGenerator<string>): Promise<string | null> => {
  const next = await keys.next()
  return next.done === true ? null : next.value
}

/**
 * Yields keys that begin with `prefix`, in order, each once. Moving `cursor` forward between two of them skips what it
 * covers, whole folders unread. Memory: one window a level of depth. What is written or removed meanwhile may or may not show.
 */
export async function* walkKeys(
  disk: Disk,
  bucket: string,
  cursor: Cursor,
  prefix: string,
): AsyncGenerator<string> {
  const ordinary: Tree = {
    root: bucketPath(disk, bucket),
    fragment: (name, isFolder) => (isFolder ? `${name}/` : name),
  }
  const aside: Tree = { root: asideRoot(disk, bucket), fragment: asideFragment }
  const scope = { cursor, prefix, window: disk.window }
  const trees = [
    walkTree({ ...scope, tree: ordinary }),
    walkTree({ ...scope, tree: aside }),
  ] as const
  const heads = [await takeKey(trees[0]), await takeKey(trees[1])]
  for (;;) {
    const [a = null, b = null] = heads
    if (a === null && b === null) return
    const first = b === null || (a !== null && a <= b) ? 0 : 1
    const key = heads[first] ?? ''
    if (!isPast(cursor, { key, isFolder: false })) {
      cursor.after = key
      cursor.wholly = false
      yield key
    }
    heads[first] = await takeKey(trees[first])
  }
}
