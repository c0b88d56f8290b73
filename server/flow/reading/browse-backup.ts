/** Looking at the names in a backup: one folder, a search, one file. With the list identity only: no content, no customer's key. */
import { fileId, parseFile, parseFileId, showPath } from '#shared/api/file-ids.ts'
import type { BackupFile, FilesQuery, LostFiles } from '#shared/api/files.ts'
import { fail, type Failure } from '#shared/errors.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { type Bytes, pathOf, type Place, type Range } from '#shared/format/tree-order.ts'
import { createRecent, type Recent } from '#shared/read/recent.ts'
import { placeOf } from '#shared/read/select.ts'
import { type TreeOf, type TreePart, walkTree } from '#shared/read/tree.ts'
import { isVaultFault, showFile, showLost } from '../../core/backup-file.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import {
  type ReadBackup,
  type ReadBackupParts,
  readerOf,
  readSigned,
  type SignedBackup,
} from '../read-backup.ts'
import { createSegmentCache, type SegmentCache } from './segment-cache.ts'

export type Browsing = ReadBackupParts & {
  readonly segments: SegmentCache
  /** Verified records by backup: they never change. */
  readonly records: Recent<SignedBackup>
}

/** Records kept: a few KiB each. */
const MOST_RECORDS = 256

export const createBrowsing = (parts: ReadBackupParts): Browsing => ({
  ...parts,
  segments: createSegmentCache(),
  records: createRecent(MOST_RECORDS),
})

export type FilesPage = {
  readonly files: readonly BackupFile[]
  readonly limit: number
  readonly next: string | null
  readonly lost: readonly LostFiles[]
}

const DEFAULT_LIMIT = 50
/** Segments that one call of a search reads: some 60,000 names. */
const MOST_SEARCHED = 64
/** Lost parts that one answer names; a backup with more of them is not worth listing. */
const MOST_LOST = 20
/** Read ahead in a search; a listing nearly always ends with its first segment. */
const SEARCH_AHEAD = 2

/** The backup with its record verified, and its tree behind the cache of segments. */
export const openForBrowsing = async (
  parts: Browsing,
  committed: CommittedBackup,
  stop: AbortSignal,
): Promise<ReadBackup> => {
  const known = parts.records.get(committed.backup)
  const signed = known ?? (await readSigned(parts, committed, stop))
  // The first errors can take 64 KiB a record, and nobody asks for them here.
  const body = { ...signed.body, errors: { ...signed.body.errors, first: [] } }
  if (known === undefined) parts.records.set(committed.backup, { ...signed, body })
  return readerOf(parts, signed, {
    stop,
    over: (objects) => parts.segments.over(committed.vault, objects),
  })
}

type Gathered = {
  readonly lines: readonly SegmentLine[]
  /** Behind which the next page begins. */
  readonly next: Place | null
  readonly lost: readonly LostFiles[]
}

type Bounds = {
  readonly limit: number
  readonly mostSegments: number
  readonly mostLost: number
  readonly matches: (line: SegmentLine) => boolean
}

/** Entries until the page is full and one more shows that there is a next one, or until enough was read. */
const gather = async (walk: AsyncIterable<TreePart>, bounds: Bounds): Promise<Gathered> => {
  const { limit, mostSegments, mostLost, matches } = bounds
  const lines: SegmentLine[] = []
  const lost: LostFiles[] = []
  let segments = 0
  for await (const part of walk) {
    if (part.part === 'lost') {
      // What the world failed at may work in a moment: an answer without it would be wrong.
      if (!isVaultFault(part.failure) || lost.length >= mostLost) throw part.failure
      lost.push(showLost(part))
      continue
    }
    for (const line of part.entries) {
      if (!matches(line)) continue
      if (lines.length === limit) return { lines, next: lines.at(-1) ?? null, lost }
      lines.push(line)
    }
    segments += 1
    const last = part.entries.at(-1)
    if (segments >= mostSegments && last !== undefined) return { lines, next: last, lost }
  }
  return { lines, next: null, lost }
}

const cursorPlace = (cursor: string | undefined): { readonly after?: Place } => {
  if (cursor === undefined) return {}
  const path = parseFileId(cursor)
  if (path === null || path === '/')
    throw fail('VALIDATION_FAILED', { field: 'cursor', problem: 'is not one that was given out' })
  return { after: placeOf(path) }
}

const notFound = (resource: string, path: Bytes): Failure =>
  fail('RESOURCE_NOT_FOUND', { resource, id: showPath(path) })

/** The entry of a path other than `/`; `null` where there is none. Throws where that part of the tree is lost. */
export const entryAt = async (tree: TreeOf, path: Bytes): Promise<SegmentLine | null> => {
  const range: Range = { at: 'entry', ...placeOf(path) }
  for await (const part of walkTree(tree, range, 0)) {
    if (part.part === 'lost') throw part.failure
    const [line] = part.entries
    if (line !== undefined) return line
  }
  return null
}

/** A folder without entries is told from one that is not there. */
const checkFolder = async (tree: TreeOf, path: Bytes): Promise<void> => {
  if (path === '/') return
  const line = await entryAt(tree, path)
  if (line?.entry.type !== 'directory') throw notFound('folder', path)
}

const list = async (
  tree: TreeOf,
  dir: Bytes,
  { after, limit }: { readonly after?: Place; readonly limit: number },
): Promise<Gathered> => {
  const range: Range = { at: 'listing', dir, ...(after === undefined ? {} : { after }) }
  const found = await gather(walkTree(tree, range, 0), {
    limit,
    mostSegments: Infinity,
    mostLost: MOST_LOST,
    matches: () => true,
  })
  if (found.lines.length === 0 && found.lost.length === 0) await checkFolder(tree, dir)
  return found
}

/** As names are compared in a search: in any case, composed or not. */
const plain = (text: string): string => text.normalize('NFC').toLowerCase()

const search = async (
  tree: TreeOf,
  dir: Bytes,
  { after, limit, text }: { readonly after?: Place; readonly limit: number; readonly text: string },
): Promise<Gathered> => {
  const wanted = plain(text)
  const range: Range = { at: 'subtree', dir, ...(after === undefined ? {} : { after }) }
  return gather(walkTree(tree, range, SEARCH_AHEAD), {
    limit,
    mostSegments: MOST_SEARCHED,
    mostLost: MOST_LOST,
    matches: ({ name }) => plain(showPath(name)).includes(wanted),
  })
}

const pageOf = (backup: string, limit: number, { lines, next, lost }: Gathered): FilesPage => ({
  files: lines.map((line) => showFile(backup, line)),
  limit,
  next: next === null ? null : fileId(pathOf(next.dir, next.name)),
  lost,
})

/** One page of a folder, in the order of the tree, or of a search below it. `RESOURCE_NOT_FOUND` for no such folder. */
export const browseFiles = async (
  parts: Browsing,
  committed: CommittedBackup,
  [query, stop]: readonly [FilesQuery, AbortSignal],
): Promise<FilesPage> => {
  const dir = parseFile(query.path ?? '/', 'path')
  const limit = query.limit ?? DEFAULT_LIMIT
  const how = { ...cursorPlace(query.cursor), limit }
  const { tree } = await openForBrowsing(parts, committed, stop)
  const found =
    query.search === undefined
      ? await list(tree, dir, how)
      : await search(tree, dir, { ...how, text: query.search })
  await parts.reading.used(committed.backup)
  return pageOf(committed.backup, limit, found)
}

/** One file by its id. `RESOURCE_NOT_FOUND` where the backup does not have it. */
export const findFile = async (
  parts: Browsing,
  committed: CommittedBackup,
  [id, stop]: readonly [string, AbortSignal],
): Promise<BackupFile> => {
  const path = parseFileId(id)
  if (path === null || path === '/') throw fail('RESOURCE_NOT_FOUND', { resource: 'file', id })
  const { tree } = await openForBrowsing(parts, committed, stop)
  const line = await entryAt(tree, path)
  if (line === null) throw notFound('file', path)
  await parts.reading.used(committed.backup)
  return showFile(committed.backup, line)
}

/** The first entries of the whole tree. */
export const firstFiles = async (
  parts: Browsing,
  committed: CommittedBackup,
  [limit, stop]: readonly [number, AbortSignal],
): Promise<readonly BackupFile[]> => {
  const { tree } = await openForBrowsing(parts, committed, stop)
  const bounds = { limit, mostSegments: Infinity, mostLost: 0, matches: () => true }
  const { lines } = await gather(walkTree(tree, { at: 'all' }, 0), bounds)
  return lines.map((line) => showFile(committed.backup, line))
}
