/**
 * From a written tree to a backup, in the order of FORMAT.md, "Commit": packs and trees are stored before fence and pack
 * table, those before the pages, the record after all of them, and only `commit.done` makes it a backup.
 */
import { encodeErrorList, errorText } from '#shared/format/record-errors.ts'
import { fenceLevel, nextFenceLevel, type Fenced, type FenceSegment } from '#shared/format/fence.ts'
import { parseRecipient, sha256, type SigningKey } from '#shared/format/keys.ts'
import type { FullLocator, Locator, PackNo } from '#shared/format/locator.ts'
import {
  nextPackTableLevel,
  packTableLevel,
  type PackRow,
  type TableSegment,
} from '#shared/format/pack-table.ts'
import { encodeRecord, type RecordBody, type RecordHost } from '#shared/format/record.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { hasCode } from '#shared/errors.ts'
import { changedUses, createLedger, mergeUses, type Ledger, type Uses } from '../core/live.ts'
import { REUPLOADS } from '../core/patience.ts'
import { reported, type Problems } from '../core/problems.ts'
import { countsOf, type Tally } from '../core/progress.ts'
import { sealObject } from '../core/seal-object.ts'
import type { ParentFile } from '../core/state.ts'
import type { Answers, Outgoing, RunLink, Sealing, World } from '../ports.ts'
import type { Crew } from './crew.ts'
import type { Known } from './known.ts'
import type { Segments } from './stages/segments.ts'
import type { Uploads } from './uploads.ts'

export type CommitParts = {
  readonly order: BackupStart
  readonly host: RecordHost
  readonly world: World
  readonly link: RunLink
  readonly crew: Crew
  readonly known: Known
  readonly sealing: Sealing
  readonly segments: Segments
  readonly uploads: Uploads
  readonly segmentKey: Uint8Array
  readonly signer: SigningKey
  readonly tally: Tally
  readonly problems: Problems
  readonly started: number
}

/** What the walk made: the segments in order, and what the lines in them use. */
export type Written = {
  readonly fence: readonly Fenced<Locator>[]
  readonly content: Uses
  readonly parent: ParentFile | null
}

export type Outcome =
  | {
      readonly done: true
      readonly sequence: number
      readonly gcEpoch: number
      readonly recordSha256: string
      readonly structure: Uses
    }
  /** These packs are not there any more: what lies in them must be read again. */
  | { readonly done: false; readonly missing: readonly PackNo[] }

const PAGE = 10_000

/** Everything begun is sealed, stored and confirmed. */
const settleAll = async ({ sealing, crew }: CommitParts): Promise<void> => {
  await sealing.flush('pack')
  await sealing.flush('tree')
  await crew.settle()
}

type Climb<S> = {
  readonly next: (placed: readonly Placed<S>[]) => readonly S[]
  level: readonly S[]
  root: FullLocator | null
}
type Placed<S> = { readonly segment: S; readonly locator: FullLocator }
type Bytes = { readonly bytes: Uint8Array; readonly sha256: Uint8Array }

const putAll = async (parts: CommitParts, level: readonly Bytes[]): Promise<readonly Locator[]> =>
  await Promise.all(level.map(async (segment) => await parts.segments.put(segment)))

/** One level up, after the packs of this one are stored: a parent names its children's objects. */
const climb = <S extends Bytes>(
  parts: CommitParts,
  climber: Climb<S>,
  locators: readonly Locator[],
): void => {
  if (climber.root !== null) return
  const placed = climber.level.flatMap((segment, index) => {
    const locator = locators[index]
    return locator === undefined ? [] : [{ segment, locator: parts.known.full(locator) }]
  })
  const [first] = placed
  if (placed.length === 1 && first !== undefined)
    Object.assign(climber, { root: first.locator, level: [] })
  else climber.level = climber.next(placed)
}

type Roots = {
  readonly fence: FullLocator
  readonly packs: FullLocator
  readonly errors?: FullLocator
}

const rootOf = (root: FullLocator | null): FullLocator => {
  if (root === null) throw new RangeError('a shallow tree has a root')
  return root
}

/** A list of its own where the record could not hold all of them. */
const RECORD_ROOM = 24 * 1024

const errorSegment = ({ kept, count }: Problems): Bytes | null => {
  const size = kept.reduce((sum, error) => sum + errorText(error).length, 0)
  if (count === kept.length && size < RECORD_ROOM) return null
  const bytes = encodeErrorList(kept)
  return { bytes, sha256: sha256(bytes) }
}

/** Fence and pack table, level by level, both in the same packs; and the list of errors. */
const writeRoots = async (
  parts: CommitParts,
  fence: readonly Fenced<Locator>[],
  rows: readonly PackRow[],
): Promise<{ roots: Roots; locators: readonly Locator[] }> => {
  const { segmentKey, known } = parts
  const fenced: Climb<FenceSegment> = {
    level: fenceLevel(segmentKey, fence),
    next: (placed) => nextFenceLevel(segmentKey, placed),
    root: null,
  }
  const tabled: Climb<TableSegment> = {
    level: packTableLevel(rows),
    next: nextPackTableLevel,
    root: null,
  }
  const errors = errorSegment(parts.problems)
  const used: Locator[] = []
  let errorList: Locator | undefined
  while (fenced.root === null || tabled.root === null) {
    const fences = await putAll(parts, fenced.level)
    const tables = await putAll(parts, tabled.level)
    if (errors !== null && errorList === undefined) errorList = await parts.segments.put(errors)
    await settleAll(parts)
    used.push(...fences, ...tables)
    climb(parts, fenced, fences)
    climb(parts, tabled, tables)
  }
  const roots = { fence: rootOf(fenced.root), packs: rootOf(tabled.root) }
  if (errorList === undefined) return { roots, locators: used }
  return { roots: { ...roots, errors: known.full(errorList) }, locators: [...used, errorList] }
}

const sendPages = async (
  parts: CommitParts,
  parent: ParentFile | null,
  uses: Uses,
): Promise<void> => {
  const { order, link, crew } = parts
  const known = parent !== null && parent.backup === order.parent?.backup
  const kind = known ? 'changes' : 'whole'
  const packs = known ? changedUses(mergeUses(parent.content, parent.structure), uses) : uses
  const of = Math.max(1, Math.ceil(packs.length / PAGE))
  for (let page = 0; page < of; page += 1) {
    const part = packs
      .slice(page * PAGE, (page + 1) * PAGE)
      .map(([no, bytes]): [number, number] => [no, bytes])
    await link.request('commit.page', { page, of, kind, packs: part }, crew.stop)
  }
}

const bodyOf = (parts: CommitParts, roots: Roots): RecordBody => {
  const { order, tally, problems } = parts
  return {
    format: 1,
    requires: [],
    vault: order.vault.id,
    job: order.job,
    backup: order.run,
    sequence: order.sequence,
    previous: order.parent?.record_sha256 ?? null,
    kept: order.kept,
    host: parts.host,
    sources: order.sources,
    started: parts.started,
    completed: parts.world.clock.now(),
    counts: {
      files: tally.files,
      directories: tally.directories,
      others: tally.others,
      changed: tally.changed,
      unchanged: tally.unchanged,
      skipped: tally.skipped,
    },
    bytes: {
      source: tally.bytesSource,
      read: tally.bytesRead,
      new: tally.bytesNew,
      stored: tally.bytesStored,
    },
    errors: {
      count: problems.count,
      first: problems.kept.slice(0, 100),
      ...(roots.errors === undefined ? {} : { all: roots.errors }),
    },
    fence: roots.fence,
    packs: roots.packs,
  }
}

/** Seals, signs and stores the record. */
const writeRecord = async (parts: CommitParts, roots: Roots): Promise<Outgoing> => {
  const { order, signer, world, uploads } = parts
  const { content, recovery, list } = order.vault.recipients
  const plaintext = encodeRecord(bodyOf(parts, roots), signer.sign)
  const readers = [...content, ...recovery, ...list].map(parseRecipient)
  const sealed = sealObject(plaintext, readers, world.random)
  const record: Outgoing = { class: 'record', no: order.sequence, ...sealed }
  await uploads.put(record)
  return record
}

/** Packs that are gone are told by `commit.missing`; an object that fails the commit is the record, which is put again. */
const finish = async (parts: CommitParts, record: Outgoing): Promise<Answers['commit.finish']> => {
  const { order, tally, problems, uploads, link, crew } = parts
  for (let time = 1; ; time += 1) {
    try {
      const body = {
        sequence: order.sequence,
        counts: countsOf(tally),
        bytes_source: tally.bytesSource,
        bytes_new: tally.bytesNew,
        bytes_stored: uploads.bytes,
        error_count: problems.count,
        errors: reported(problems),
      }
      return await link.request('commit.finish', body, crew.stop)
    } catch (error) {
      if (!hasCode(error, 'UPLOAD_FAILED') || time > REUPLOADS) throw error
      await uploads.put(record)
    }
  }
}

/** Rows of all packs that bare locators need, ascending; packs that have none are missing. */
const rowsOf = ({ known }: CommitParts, packs: Uses): { rows: PackRow[]; missing: PackNo[] } => {
  const rows: PackRow[] = []
  const missing: PackNo[] = []
  for (const [pack] of packs) {
    const row = known.row(pack)
    if (row === undefined) missing.push(pack)
    else rows.push(row)
  }
  return { rows, missing }
}

const add = (ledger: Ledger, locators: readonly Locator[]): void => {
  for (const locator of locators) ledger.add(locator[0], locator[4])
}

export const commit = async (parts: CommitParts, written: Written): Promise<Outcome> => {
  parts.tally.phase = 'committing'
  await settleAll(parts)
  const structure = createLedger()
  add(
    structure,
    written.fence.map(({ locator }) => locator),
  )
  const { rows, missing } = rowsOf(parts, mergeUses(written.content, structure.uses()))
  if (missing.length > 0) return { done: false, missing }
  const { roots, locators } = await writeRoots(parts, written.fence, rows)
  add(structure, locators)
  await sendPages(parts, written.parent, mergeUses(written.content, structure.uses()))
  parts.tally.bytesStored = parts.uploads.bytes
  const record = await writeRecord(parts, roots)
  const answer = await finish(parts, record)
  if (answer.type === 'commit.missing') return { done: false, missing: answer.packs }
  return {
    done: true,
    sequence: answer.sequence,
    gcEpoch: answer.gc_epoch,
    recordSha256: record.sha256,
    structure: structure.uses(),
  }
}
