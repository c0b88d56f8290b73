/**
 * Walks the sources in tree order, merge-joined with the local tree of the run before: an unchanged entry costs one
 * lstat and a comparison (ARCHITECTURE.md, "The data path", 3). Nothing here waits: the caller gives the turn away.
 */
import { compareDirs, MAX_DIR, pathOf, type Bytes } from '#shared/format/tree-order.ts'
import { advance, isUnchanged, type Cursor } from '../../core/local-tree.ts'
import { showBytes } from '../../core/open-show.ts'
import { CACHE_SIGNATURE, covers, coversAll, markerIn, type Rules } from '../../core/rules.ts'
import type { WalkPlan } from '../../core/sources.ts'
import {
  isDirectory,
  isFault,
  isLink,
  outsideSignature,
  type Signature,
  signatureOf,
  type Exact,
  type Fault,
  type Stat,
} from '../../core/stat.ts'
import type { FileSystem } from '../../ports.ts'

export type Seen = { readonly dir: Bytes; readonly name: Bytes; readonly path: Bytes }

export type Looked = Seen & {
  readonly stat: Stat
  /** A source, or a directory above one, that is a link to a directory counts as that directory. */
  readonly behind: Exact | null
  /** Not of a source, but above one. */
  readonly outside: boolean
}

/** What the walk meets, in tree order. */
export type Visitor = {
  /** The cursor stands on the entry, which has not changed; false: it must be looked at after all. */
  unchanged(cursor: Cursor, size: number): boolean
  /** `before`: the cursor, when it stands on an older version of this entry. */
  changed(seen: Looked, before: Cursor | null): void
  /** The cursor stands on an entry that is no longer there. */
  removed(cursor: Cursor): void
  fault(path: Bytes, fault: Fault): void
}

export type Scanner = {
  /** Looks at one more entry; false when everything has been seen. */
  step(): boolean
}

type Listing = {
  readonly dir: Bytes
  readonly names: readonly Bytes[]
  /** Of the sources that cover what is in this directory; empty above the sources. */
  readonly rules: readonly Rules[]
  /** Of sources that cover one name in it alone, the file that marks it. */
  readonly marked: ReadonlyMap<Bytes, readonly Rules[]>
  /** It lies within sources, leads to none, and each of them takes all that is in it. */
  readonly isPlain: boolean
  at: number
  /** Device of the directory; 0 where it does not matter. */
  readonly dev: number
  /** Directories found in it, to be walked after its entries. */
  readonly below: Pending[]
}

type Pending = { readonly dir: Bytes; readonly rules: readonly Rules[]; readonly dev: number }

type Walk = {
  readonly fs: FileSystem
  readonly plan: WalkPlan
  readonly base: Cursor
  readonly visitor: Visitor
}

const NONE: readonly Bytes[] = []

const UNMARKED: ReadonlyMap<Bytes, readonly Rules[]> = new Map()

type Names = Pick<Listing, 'names' | 'rules' | 'marked'>

/** Above the sources only what leads to one; within them everything, unless a file marks the directory. */
const namesIn = (walk: Walk, { dir, rules }: Pending): Names => {
  const leading = walk.plan.ancestors.get(dir) ?? NONE
  if (rules.length === 0) return { names: leading, rules, marked: UNMARKED }
  const names = walk.fs.names(dir)
  if (!isFault(names)) return unlessMarked(walk, { dir, rules, names, leading })
  walk.visitor.fault(dir, names)
  // A source below an unreadable directory may be readable all the same.
  return { names: leading, rules, marked: UNMARKED }
}

type Read = Pick<Listing, 'dir' | 'rules' | 'names'> & { readonly leading: readonly Bytes[] }

const unlessMarked = (walk: Walk, { dir, rules, names, leading }: Read): Names => {
  const isTag = (name: Bytes): boolean => walk.fs.begins(pathOf(dir, name), CACHE_SIGNATURE)
  const markers = rules.map((rule) => markerIn(rule, names, isTag))
  if (markers.every((name) => name === undefined)) return { names, rules, marked: UNMARKED }
  const marked = new Map<Bytes, readonly Rules[]>()
  markers.forEach((name, i) => {
    if (name !== undefined)
      marked.set(name, [...(marked.get(name) ?? []), ...rules.slice(i, i + 1)])
  })
  const others = rules.filter((_, i) => markers[i] === undefined)
  const few = [...new Set([...leading, ...marked.keys()])].sort()
  return { names: others.length > 0 ? names : few, rules: others, marked }
}

/** Passes everything of the local tree that lies before `dir`: it is gone. */
const passBefore = ({ base, visitor }: Walk, dir: Bytes): void => {
  while (base.valid && base.dir !== dir && compareDirs(base.dir, dir) < 0) {
    visitor.removed(base)
    advance(base)
  }
}

/** Passes what lies before `name` in this directory; true when the cursor then stands on `name`. */
const passTo = ({ base, visitor }: Walk, dir: Bytes, name: Bytes): boolean => {
  while (base.valid && base.dir === dir && base.name < name) {
    visitor.removed(base)
    advance(base)
  }
  return base.valid && base.name === name && base.dir === dir
}

/** The sources that cover an entry: those of its directory that do not leave it out, and those that begin here. */
const remaining = (walk: Walk, listing: Listing, name: Bytes, looked: Entry): readonly Rules[] => {
  const { path } = looked
  const only = listing.marked.get(name)
  const above = only === undefined ? listing.rules : [...only, ...listing.rules]
  const own = walk.plan.roots.get(path)
  if (own === undefined && above.every((rules) => covers(rules, path, looked))) return above
  return [...above.filter((rules) => covers(rules, path, looked)), ...(own ?? NO_RULES)]
}

const NO_RULES: readonly Rules[] = []

type Entry = Pick<Stat, 'mode' | 'size'> & { readonly path: Bytes; readonly isDir: boolean }

const isLeading = (walk: Walk, path: Bytes): boolean =>
  walk.plan.ancestors.has(path) || walk.plan.roots.has(path)

/** A link that leads to a source, or is one, counts as the directory behind it; null where it is no such thing. */
const followedDirectory = (walk: Walk, path: Bytes, stat: Stat): Exact | null => {
  if (!isLink(stat.mode) || !isLeading(walk, path)) return null
  const exact = walk.fs.followed(path)
  return isFault(exact) || !isDirectory(exact.mode) ? null : exact
}

/** A source that is not there was never seen by this backup: it did not vanish. */
const MISSING = 'MISSING'

const asMissing = ({ fault, problem }: Fault): Fault =>
  fault === 'ENOENT' ? { fault: MISSING, problem: 'it does not exist' } : { fault, problem }

/** What leads to sources and cannot be followed is told of each of them: those are what somebody asked for. */
const noteBelow = ({ plan, visitor }: Walk, path: Bytes, { fault, problem }: Fault): void => {
  for (const root of plan.roots.keys()) {
    if (root.startsWith(`${path}/`))
      visitor.fault(root, { fault, problem: `${showBytes(path)}: ${problem}` })
  }
}

const noteFault = (walk: Walk, path: Bytes, fault: Fault): void => {
  const { plan, visitor } = walk
  const isSource = plan.roots.has(path)
  const leads = plan.ancestors.has(path)
  if (isSource) visitor.fault(path, asMissing(fault))
  if (leads) noteBelow(walk, path, asMissing(fault))
  if (!isSource && !leads) visitor.fault(path, fault)
}

type Found = {
  readonly looked: Looked
  /** The cursor stands on an older version of this entry. */
  readonly here: boolean
}

const signatureNow = ({ stat, behind, outside }: Looked): Signature => {
  if (outside) return outsideSignature(behind ?? stat)
  return behind === null ? stat : signatureOf(behind)
}

const visit = ({ base, visitor }: Walk, { looked, here }: Found): void => {
  const signature = signatureNow(looked)
  const same = here && isUnchanged(base, signature) && visitor.unchanged(base, looked.stat.size)
  if (!same) visitor.changed(looked, here ? base : null)
  if (here) advance(base)
}

const pass = ({ base, visitor }: Walk, here: boolean): void => {
  if (!here) return
  visitor.removed(base)
  advance(base)
}

const NOT_A_DIRECTORY: Fault = { fault: 'ENOTDIR', problem: 'it is not a directory' }

const TOO_DEEP: Fault = {
  fault: 'ENAMETOOLONG',
  problem: `its path is longer than ${String(MAX_DIR)} bytes: what is in it is not backed up`,
}

/** Another file system: for those that stay on theirs an empty directory. */
const beyond = (walk: Walk, pending: Pending): Pending => {
  const own = walk.plan.roots.get(pending.dir) ?? NO_RULES
  const rules = pending.rules.filter((rule) => !rule.staysOnDevice || own.includes(rule))
  return { ...pending, rules }
}

/** Notes a directory to be walked after the entries beside it. */
const descend = (walk: Walk, listing: Listing, pending: Pending): void => {
  const isMount = pending.dev !== listing.dev && listing.dev !== 0
  if (isMount && walk.fs.isKernelState(pending.dir)) return
  if (pending.dir.length > MAX_DIR) walk.visitor.fault(pending.dir, TOO_DEEP)
  else listing.below.push(isMount ? beyond(walk, pending) : pending)
}

const look = (walk: Walk, listing: Listing, name: Bytes): void => {
  const { dir, isPlain } = listing
  const path = pathOf(dir, name)
  const here = passTo(walk, dir, name)
  const stat = walk.fs.stat(path)
  if (isFault(stat)) {
    noteFault(walk, path, stat)
    pass(walk, here)
  } else if (isPlain) {
    visit(walk, { looked: { dir, name, path, stat, behind: null, outside: false }, here })
    if (isDirectory(stat.mode))
      descend(walk, listing, { dir: path, rules: listing.rules, dev: stat.dev })
  } else lookClosely(walk, listing, { dir, name, path, stat, here })
}

type Stated = Seen & { readonly stat: Stat; readonly here: boolean }

const lookClosely = (walk: Walk, listing: Listing, seen: Stated): void => {
  const { dir, name, path, stat, here } = seen
  const behind = followedDirectory(walk, path, stat)
  const isDir = behind !== null || isDirectory(stat.mode)
  const entry = { path, isDir, mode: stat.mode, size: stat.size }
  const rules = remaining(walk, listing, name, entry)
  const leads = walk.plan.ancestors.has(path)
  if (rules.length === 0 && !leads) {
    pass(walk, here)
    return
  }
  const outside = rules.length === 0
  visit(walk, { looked: { dir, name, path, stat, behind, outside }, here })
  if (isDir) descend(walk, listing, { dir: path, rules, dev: Number(behind?.dev ?? stat.dev) })
  else if (leads) noteBelow(walk, path, NOT_A_DIRECTORY)
}

const isPlain = (plan: WalkPlan, dir: Bytes, { rules, marked }: Names): boolean =>
  rules.length > 0 && marked.size === 0 && rules.every(coversAll) && !plan.ancestors.has(dir)

export const createScanner = (walk: Walk): Scanner => {
  const { base, plan } = walk
  const stack: Pending[] = []
  const open = (pending: Pending): Listing => {
    passBefore(walk, pending.dir)
    const names = namesIn(walk, pending)
    return { ...pending, ...names, isPlain: isPlain(plan, pending.dir, names), at: 0, below: [] }
  }
  advance(base)
  let listing: Listing | null = null
  if (plan.ancestors.size > 0 || plan.roots.size > 0)
    listing = open({ dir: '/', rules: plan.roots.get('/') ?? [], dev: 0 })
  const leave = (done: Listing): Listing | null => {
    for (const pending of done.below.reverse()) stack.push(pending)
    const next = stack.pop()
    return next === undefined ? null : open(next)
  }
  return {
    step: () => {
      if (listing === null) {
        if (!base.valid) return false
        walk.visitor.removed(base)
        advance(base)
        return true
      }
      const name = listing.names[listing.at]
      listing.at += 1
      if (name === undefined) listing = leave(listing)
      else look(walk, listing, name)
      return true
    },
  }
}
