/**
 * Verification, level `restore`: everything that restoring the backup would read is read, decrypted and compared with what
 * was signed, down to the id of every blob. What is wrong is found file by file; nothing is written anywhere.
 */
import { showPath } from '#shared/api/file-ids.ts'
import type { Finding, VerificationResult } from '#shared/api/findings.ts'
import { Failure } from '#shared/errors.ts'
import type { Locator, PackNo } from '#shared/format/locator.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import { factsOf, type ObjectReader } from '#shared/read/object.ts'
import { createPackRows } from '#shared/read/packs.ts'
import { type TreeOf, type TreePart, walkTree } from '#shared/read/tree.ts'
import { parser } from '#shared/schema.ts'
import { MiB } from '#shared/units.ts'
import { isVaultFault, showLost } from '../../core/backup-file.ts'
import {
  type At,
  numbersIn,
  RestoreCheckpoint,
  runsOf,
  scopeFrom,
} from '../../core/verification/restore-checkpoint.ts'
import type { VerificationJob, VerificationProgress } from '../../ports/verifications.ts'
import { committedFor, openContent, type Opened, waiter } from '../reading/open-content.ts'
import { readPieces } from '../reading/read-pieces.ts'
import { wholeContent } from '../reading/stream-content.ts'
import { checkOwn } from './own-objects.ts'
import {
  createTurn,
  settle,
  type Turn,
  type VerifyWork,
  wholeBackup,
  type WorkParts,
} from './turn.ts'

const MOST_FINDINGS = 100
/** `window`: pieces that are planned together, so that those of one frame are read with it; `bytes` of content at most, but for one file. */
type Bounds = { readonly window: number; readonly bytes: number }

/** Some 20 MB. How far it is is noted after each window. */
const BOUNDS: Bounds = { window: 20_000, bytes: 256 * MiB }

type Checking = {
  readonly opened: Opened
  /** The tree, read through a reader that notes which objects it reads. */
  readonly tree: TreeOf
  readonly objects: Set<PackNo>
  readonly findings: Finding[]
  /** Files of the window that are known to be damaged: each is told once. */
  readonly damaged: Set<SegmentLine>
  readonly bounds: Bounds
  readonly progress: { -readonly [K in keyof VerificationProgress]: VerificationProgress[K] }
  readonly turn: Turn
  /** Bytes of content in the window. */
  pending: number
  /** More was checked than is noted as settled. */
  isAhead: boolean
  /** Everything before it is settled; null: it has just begun. */
  settled: RestoreCheckpoint | null
}

const standOf = ({ progress, settled }: Checking) => ({
  progress: { ...progress },
  checkpoint: settled,
})

const report = (checking: Checking): void => checking.turn.report(standOf(checking))

/** To be called when nothing before the place is pending. */
const settleUpTo = (checking: Checking, at: At): void => {
  const { progress, findings, objects } = checking
  checking.isAhead = false
  checking.settled = {
    at,
    files: progress.files_done,
    bytes: progress.bytes_done,
    problem_count: progress.problem_count,
    findings: [...findings],
    objects: runsOf(objects),
  }
  report(checking)
}

type Wish = { readonly locator: Locator; readonly by: SegmentLine }

const noteFinding = ({ findings, progress }: Checking, finding: Finding): void => {
  progress.problem_count += 1
  if (findings.length < MOST_FINDINGS) findings.push(finding)
}

const aboutFile = ({ dir, name }: SegmentLine, { code, message }: Failure): Finding => ({
  path: showPath(pathOf(dir, name)),
  code,
  problem: message,
})

/** Tells of a file once, however much of it is wrong. */
const noteFile = (checking: Checking, line: SegmentLine, failure: Failure): void => {
  if (checking.damaged.has(line)) return
  checking.damaged.add(line)
  noteFinding(checking, aboutFile(line, failure))
}

/** Whoever is wanted for a piece that cannot be had is damaged. */
const checkWindow = async (checking: Checking, window: readonly Wish[]): Promise<void> => {
  const { opened, progress, objects, damaged } = checking
  checking.pending = 0
  checking.isAhead = true
  for await (const { piece, pack, bytes } of readPieces(opened, window)) {
    objects.add(pack)
    if (bytes instanceof Failure) for (const line of piece.by) noteFile(checking, line, bytes)
    else progress.bytes_done += bytes.length * piece.by.length
    report(checking)
  }
  // The last file may go on in the next window; of the others nothing comes any more.
  const last = window.at(-1)?.by
  for (const line of damaged) if (line !== last) damaged.delete(line)
}

/** The locators of a file, or why they cannot all be known. */
const wishesOf = async (checking: Checking, line: SegmentLine, into: Wish[]): Promise<void> => {
  try {
    for await (const locator of wholeContent(checking.tree, line)) {
      checking.pending += locator[4]
      into.push({ locator, by: line })
      // A file of a TiB has a million of them.
      if (into.length >= checking.bounds.window) await checkWindow(checking, into.splice(0))
    }
  } catch (error) {
    if (!(error instanceof Failure) || !isVaultFault(error)) throw error
    noteFile(checking, line, error)
  }
}

const noteLost = async (
  checking: Checking,
  window: Wish[],
  part: Extract<TreePart, { part: 'lost' }>,
): Promise<void> => {
  if (!isVaultFault(part.failure)) throw part.failure
  await checkWindow(checking, window.splice(0))
  const { from, ...rest } = showLost(part)
  noteFinding(checking, { path: from, ...rest })
  if (part.to !== null) settleUpTo(checking, { ...part.to, after: false })
}

const isFull = ({ bounds, damaged, pending }: Checking, window: readonly Wish[]): boolean =>
  window.length + damaged.size >= bounds.window || pending >= bounds.bytes

/** What is left of the tree. `false`: its turn is over, and it was given back. */
const checkTree = async (checking: Checking): Promise<boolean> => {
  const { tree, progress, settled, turn } = checking
  const window: Wish[] = []
  const wanted = settled === null ? { at: 'all' as const } : scopeFrom(settled.at)
  for await (const part of walkTree(tree, wanted)) {
    if (part.part === 'lost') {
      await noteLost(checking, window, part)
      continue
    }
    for (const line of part.entries) {
      progress.files_done += 1
      if (line.entry.type === 'file' && line.entry.skipped === undefined)
        await wishesOf(checking, line, window)
      // A long file may just have filled one with its last piece.
      const isDone = window.length === 0 && checking.isAhead
      if (!isDone && !isFull(checking, window)) continue
      await checkWindow(checking, window.splice(0))
      settleUpTo(checking, { dir: line.dir, name: line.name, after: true })
      if (!turn.isOver()) continue
      await turn.giveBack(standOf(checking))
      return false
    }
    report(checking)
  }
  await checkWindow(checking, window)
  return true
}

/** The list of all errors, where the record could not hold it. */
const checkErrorList = async (checking: Checking): Promise<void> => {
  const { all } = checking.opened.backup.body.errors
  if (all === undefined) return
  try {
    await checking.tree.objects.segment(factsOf(all), all)
  } catch (error) {
    if (!(error instanceof Failure) || !isVaultFault(error)) throw error
    noteFinding(checking, { path: null, code: error.code, problem: error.message })
  }
}

const noting = (objects: ObjectReader, seen: Set<PackNo>): ObjectReader => ({
  ...objects,
  segment: async (facts, locator) => {
    const bytes = await objects.segment(facts, locator)
    seen.add(facts.pack)
    return bytes
  },
})

/** What a recovery would read, and a restore by way of the catalog does not. */
const noteOwn = async (parts: WorkParts, { opened, ...checking }: Checking): Promise<void> => {
  const { turn, progress, findings } = checking
  const { backup } = opened
  const { stop, pace } = turn
  const store = await parts.stores.open(backup.committed.storage)
  const looking = { store, stop, pace, clock: parts.clock, waitOut: waiter(parts, stop) }
  const found = await checkOwn(parts, backup, looking)
  progress.problem_count += found.problem_count
  findings.push(...found.problems)
}

const parseCheckpoint = parser(RestoreCheckpoint)

const begin = (
  opened: Opened,
  job: VerificationJob,
  { bounds, turn }: Pick<Checking, 'bounds' | 'turn'>,
): Checking => {
  const { body, objects: all } = opened.backup
  const kept = parseCheckpoint(job.checkpoint)
  const settled = 'ok' in kept ? kept.ok : null
  const seen = new Set<PackNo>(numbersIn(settled?.objects ?? []))
  const objects = noting(all, seen)
  const progress = {
    bytes_total: body.bytes.source,
    bytes_done: settled?.bytes ?? 0,
    files_done: settled?.files ?? 0,
    problem_count: settled?.problem_count ?? 0,
  }
  return {
    opened,
    tree: { objects, packs: createPackRows(objects, body.packs), fence: body.fence },
    objects: seen,
    findings: [...(settled?.findings ?? [])],
    damaged: new Set(),
    pending: 0,
    isAhead: false,
    bounds,
    progress,
    turn,
    settled,
  }
}

const resultOf = ({ findings, objects, progress }: Checking): VerificationResult => ({
  status: progress.problem_count === 0 ? 'passed' : 'failed',
  files: progress.files_done,
  objects: objects.size,
  bytes: progress.bytes_done,
  problem_count: progress.problem_count,
  problems: findings,
})

export const verifyRestore =
  (parts: WorkParts, bounds: Partial<Bounds> = {}): VerifyWork =>
  async (claim, how) => {
    const turn = createTurn(parts, claim, how)
    const spend = async (bytes: number): Promise<void> => parts.pace(bytes, how.stop)
    const { job } = claim
    const committed = await committedFor(parts, job)
    let opened: Opened
    try {
      opened = await openContent(parts, [committed, job.openRequest], {
        stop: how.stop,
        headers: 'storage',
        spend,
      })
    } catch (error) {
      if (!(error instanceof Failure) || !isVaultFault(error)) throw error
      await settle(parts, claim, wholeBackup(error))
      return
    }
    const checking = begin(opened, job, { turn, bounds: { ...BOUNDS, ...bounds } })
    report(checking)
    if (checking.settled === null) await noteOwn(parts, checking)
    if (!(await checkTree(checking))) return
    await checkErrorList(checking)
    how.stop.throwIfAborted()
    const { progress } = checking
    await settle(parts, claim, { result: resultOf(checking), progress: { ...progress } })
  }
