/** What becomes of each entry that the walk meets: copied, described anew, or read. */
import { hasCode } from '#shared/errors.ts'
import { type Attribute, encodeEntry, type Entry } from '#shared/format/tree.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { describeAttributes } from '../../core/attributes.ts'
import { directoryEntry, fileEntry, otherEntry } from '../../core/entries.ts'
import { addUses, removeUses, usesOf, type Ledger } from '../../core/live.ts'
import { isDirectoryAt, isFileAt, type Cursor, type LocalEntry } from '../../core/local-tree.ts'
import type { Problems } from '../../core/problems.ts'
import type { Tally } from '../../core/progress.ts'
import { totalOf } from '../../core/sparse.ts'
import {
  isDirectory,
  isFault,
  isFile,
  isLink,
  isSettled,
  outsideSignature,
  signatureOf,
  type Exact,
  type Fault,
} from '../../core/stat.ts'
import { usesAt } from '../../core/uses-at.ts'
import type { FileSystem } from '../../ports.ts'
import type { Journal } from '../journal.ts'
import type { Fill, LineUp } from './line-up.ts'
import type { FileRead } from './place.ts'
import type { Reader } from './read.ts'
import type { Looked, Seen, Visitor } from './scan.ts'
import { createLinkGroups, type LinkGroups } from './links.ts'

export type LookParts = {
  readonly fs: FileSystem
  readonly now: () => number
  readonly lineUp: LineUp
  readonly reader: Reader
  readonly journal: Pick<Journal, 'find'>
  /** Live bytes of what the lines use; begins with those of the local tree that is walked along. */
  readonly live: Ledger
  /** Packs that are gone: a line that needs one is not copied. Empty nearly always. */
  readonly gone: ReadonlySet<number>
  readonly tally: Tally
  readonly problems: Problems
  /** Sources, as paths. */
  readonly sources: Pick<ReadonlySet<Bytes>, 'has'>
  /** Those of them of which nothing can be had; grows. */
  readonly lost: Set<Bytes>
}

type Look = LookParts & { readonly links: LinkGroups }

/** It was a file when it was looked at: by now another one, a link, or a socket. */
const TURNED: ReadonlySet<string> = new Set(['ESTALE', 'ELOOP', 'ENXIO'])

const codeOf = ({ fault }: Fault): 'SOURCE_VANISHED' | 'SOURCE_CHANGED' | 'SOURCE_UNREADABLE' => {
  if (fault === 'ENOENT') return 'SOURCE_VANISHED'
  return TURNED.has(fault) ? 'SOURCE_CHANGED' : 'SOURCE_UNREADABLE'
}

const report = ({ tally, problems, sources, lost }: LookParts, path: Bytes, fault: Fault): void => {
  tally.errors += 1
  if (sources.has(path)) lost.add(path)
  problems.add(path, codeOf(fault), fault.problem)
}

/** It stays in the tree, without something; to be looked at again next time. */
const doubt = ({ tally, problems }: LookParts, path: Bytes, problem: string): void => {
  tally.errors += 1
  problems.add(path, 'SOURCE_UNREADABLE', problem)
}

type Described = Pick<Entry, 'xattrs' | 'acl'> & { readonly isWhole: boolean }

const describedBy = (
  look: Look,
  path: Bytes,
  attributes: readonly Attribute[] | Fault,
): Described => {
  if (!isFault(attributes)) return { ...describeAttributes(attributes), isWhole: true }
  doubt(look, path, `its extended attributes: ${attributes.problem}`)
  return { isWhole: false }
}

/** An entry and its attributes as a line; what makes it too long is left out: attributes first, then access lists. */
const lineOf = (
  look: Look,
  { name, path }: Seen,
  entry: Entry,
): { readonly line: string; readonly isWhole: boolean } => {
  const { xattrs, acl, ...rest } = entry
  const lists = acl === undefined ? rest : { ...rest, acl }
  for (const attempt of [entry, lists]) {
    try {
      const isWhole = attempt === entry || xattrs === undefined
      const line = encodeEntry(name, attempt)
      if (!isWhole) doubt(look, path, 'it has more extended attributes than there is room for')
      return { line, isWhole }
    } catch (error) {
      if (!hasCode(error, 'LIMIT_EXCEEDED')) throw error
    }
  }
  doubt(look, path, 'its access list is longer than there is room for')
  return { line: encodeEntry(name, rest), isWhole: false }
}

type Rest = Pick<LocalEntry, 'signature' | 'uses' | 'needs'> & Described

const localOf = (
  look: Look,
  seen: Seen,
  entry: Entry,
  { signature, uses, needs, isWhole, ...described }: Rest,
): LocalEntry => {
  const { line, ...left } = lineOf(look, seen, { ...entry, ...described })
  return {
    dir: seen.dir,
    name: seen.name,
    line,
    kind: entry.type === 'file' || entry.type === 'directory' ? entry.type : 'other',
    hasContent: entry.content !== undefined || entry.more !== undefined,
    signature: isWhole && left.isWhole ? signature : null,
    uses,
    ...(needs === undefined ? {} : { needs }),
  }
}

const BARE: Described = { isWhole: true }

/** Entries without content: what lstat says is all there is, and attributes. */
const describe = (look: Look, looked: Looked, exact: Exact, target: Bytes | null): LocalEntry => {
  const { outside, path } = looked
  const signature = outside ? outsideSignature(exact) : signatureOf(exact)
  const settled = outside || isSettled(signature, look.now())
  const entry = isDirectory(exact.mode)
    ? directoryEntry(exact, look.fs)
    : isFile(exact.mode)
      ? fileEntry(exact, look.fs, { size: 0 })
      : otherEntry(exact, look.fs, target)
  if (entry.skipped !== undefined) look.tally.skipped += 1
  const described = outside
    ? BARE
    : describedBy(look, path, look.fs.attributes(path, looked.behind !== null))
  return localOf(look, looked, entry, {
    ...described,
    signature: settled ? signature : null,
    uses: [],
  })
}

const describeNow = (look: Look, looked: Looked): void => {
  const exact = looked.behind ?? look.fs.exact(looked.path)
  if (isFault(exact)) {
    report(look, looked.path, exact)
    return
  }
  const target = isLink(exact.mode) ? look.fs.target(looked.path) : null
  if (target !== null && typeof target !== 'string') {
    report(look, looked.path, target)
    return
  }
  if (isFile(exact.mode) && exact.size > 0) read(look, looked)
  else look.lineUp.entry(describe(look, looked, exact, target))
}

/** A file whose content is in packs now. */
const finishFile = (look: Look, seen: Seen, fill: Fill, result: FileRead): void => {
  const { exact, file, holes } = result
  const { content, more } = file
  const signature = signatureOf(exact)
  const settled = !result.moving && isSettled(signature, result.readAt)
  const entry = fileEntry(exact, look.fs, {
    size: file.size + totalOf(holes),
    ...(holes.length > 0 ? { holes } : {}),
    ...(content.length > 0 ? { content } : {}),
    ...(more.length > 0 ? { more } : {}),
  })
  const needs = more.length > 0 ? file.uses : usesOf(content)
  addUses(look.live, needs)
  if (result.doubt !== null) {
    look.tally.errors += 1
    look.problems.add(seen.path, result.doubt, DOUBTS[result.doubt])
  }
  const described = describedBy(look, seen.path, result.attributes)
  fill(
    localOf(look, seen, entry, {
      ...described,
      signature: settled ? signature : null,
      uses: file.uses,
      needs,
    }),
  )
}

const DOUBTS = {
  SOURCE_CHANGED: 'it was written to while it was read; what was read is in the backup',
  SOURCE_SHRUNK: 'it became shorter while it was read; what was read is in the backup',
} as const

/** A file that cannot be read stays in the tree without content, unless it is gone altogether. */
const failFile = (look: Look, looked: Looked, fill: Fill, fault: Fault): void => {
  report(look, looked.path, fault)
  const exact = codeOf(fault) === 'SOURCE_UNREADABLE' ? look.fs.exact(looked.path) : fault
  if (isFault(exact) || !isFile(exact.mode)) {
    look.tally.files -= 1
    fill(null)
    return
  }
  look.tally.skipped += 1
  const entry = fileEntry(exact, look.fs, { size: exact.size, skipped: 'unreadable' })
  fill(localOf(look, looked, entry, { ...BARE, signature: null, uses: [] }))
}

const read = (look: Look, looked: Looked): void => {
  const fill = look.lineUp.reserve()
  const take = {
    done: (result: FileRead) => finishFile(look, looked, fill, result),
    failed: (fault: Fault) => failFile(look, looked, fill, fault),
  }
  const group = look.links.join(looked.stat, take)
  if (group === null) return
  look.tally.bytesToRead += looked.stat.size
  look.reader.submit({ path: looked.path, size: looked.stat.size, ...group })
}

const count = ({ tally }: Look, mode: number, size: number): void => {
  if (isFile(mode)) {
    tally.files += 1
    tally.bytesSource += size
  } else if (isDirectory(mode)) tally.directories += 1
  else tally.others += 1
}

/** A file that an interrupted run has read, and that is what it was. */
const takeOver = ({ journal, live, lineUp }: Look, looked: Looked): boolean => {
  const finished = journal.find(looked)
  if (finished === null) return false
  addUses(live, finished.uses)
  lineUp.unchanged(finished.cursor)
  return true
}

const isLost = ({ gone }: Look, cursor: Cursor): boolean =>
  gone.size > 0 && usesAt(cursor).some(([pack]) => gone.has(pack))

export const createVisitor = (parts: LookParts): Visitor => {
  const look: Look = { ...parts, links: createLinkGroups() }
  const { tally, lineUp, live } = parts
  return {
    unchanged: (cursor, size) => {
      if (isLost(look, cursor)) return false
      tally.unchanged += 1
      if (isFileAt(cursor)) {
        tally.files += 1
        tally.bytesSource += size
      } else if (isDirectoryAt(cursor)) tally.directories += 1
      else tally.others += 1
      lineUp.unchanged(cursor)
      return true
    },
    changed: (looked, before) => {
      if (before !== null) removeUses(live, usesAt(before))
      tally.changed += 1
      const { mode, size } = looked.behind ?? looked.stat
      count(look, mode, size)
      if (!isFile(mode) || size === 0) describeNow(look, looked)
      else if (!takeOver(look, looked)) read(look, looked)
    },
    removed: (cursor) => removeUses(live, usesAt(cursor)),
    fault: (path, fault) => report(look, path, fault),
  }
}
