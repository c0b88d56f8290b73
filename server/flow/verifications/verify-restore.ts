/**
 * Verification, level `restore`: everything that restoring the backup would read is read, decrypted and compared with what
 * was signed, down to the id of every blob. What is wrong is found file by file; nothing is written anywhere.
 */
import { showPath } from '#shared/api/file-ids.ts'
import type { Finding, VerificationResult } from '#shared/api/findings.ts'
import { fail, Failure } from '#shared/errors.ts'
import type { Locator, PackNo } from '#shared/format/locator.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import { factsOf, type ObjectReader } from '#shared/read/object.ts'
import { createPackRows } from '#shared/read/packs.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { isVaultFault, showLost } from '../../core/backup-file.ts'
import type {
  VerificationJob,
  VerificationProgress,
  Verifications,
} from '../../ports/verifications.ts'
import { committedFor, openContent, type Opened, type OpenParts } from '../reading/open-content.ts'
import { readPieces } from '../reading/read-pieces.ts'
import { wholeContent } from '../reading/stream-content.ts'
import type { Work } from '../tasks/run-task.ts'

export type VerifyParts = OpenParts & { readonly verifications: Verifications }

const MOST_FINDINGS = 100
/** `window`: pieces that are planned together, so that those of one frame are read with it. */
type Bounds = { readonly window: number }

/** Some 20 MB. */
const BOUNDS: Bounds = { window: 20_000 }

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
  report(): void
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
  for await (const { piece, pack, bytes } of readPieces(opened, window)) {
    objects.add(pack)
    if (bytes instanceof Failure) for (const line of piece.by) noteFile(checking, line, bytes)
    else progress.bytes_done += bytes.length * piece.by.length
    checking.report()
  }
  // The last file may go on in the next window; of the others nothing comes any more.
  const last = window.at(-1)?.by
  for (const line of damaged) if (line !== last) damaged.delete(line)
}

/** The locators of a file, or why they cannot all be known. */
const wishesOf = async (checking: Checking, line: SegmentLine, into: Wish[]): Promise<void> => {
  try {
    for await (const locator of wholeContent(checking.tree, line)) {
      into.push({ locator, by: line })
      // A file of a TiB has a million of them.
      if (into.length >= checking.bounds.window) await checkWindow(checking, into.splice(0))
    }
  } catch (error) {
    if (!(error instanceof Failure) || !isVaultFault(error)) throw error
    noteFile(checking, line, error)
  }
}

const checkTree = async (checking: Checking): Promise<void> => {
  const { tree, progress } = checking
  const window: Wish[] = []
  for await (const part of walkTree(tree, { at: 'all' })) {
    if (part.part === 'lost') {
      if (!isVaultFault(part.failure)) throw part.failure
      const { from, ...rest } = showLost(part)
      noteFinding(checking, { path: from, ...rest })
      continue
    }
    for (const line of part.entries) {
      progress.files_done += 1
      if (line.entry.type === 'file' && line.entry.skipped === undefined)
        await wishesOf(checking, line, window)
      if (window.length + checking.damaged.size >= checking.bounds.window)
        await checkWindow(checking, window.splice(0))
    }
    checking.report()
  }
  await checkWindow(checking, window)
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

type Report = (progress: VerificationProgress) => void

const begin = (opened: Opened, [bounds, report]: readonly [Bounds, Report]): Checking => {
  const { body, objects: all } = opened.backup
  const seen = new Set<PackNo>()
  const objects = noting(all, seen)
  const progress = {
    bytes_total: body.bytes.source,
    bytes_done: 0,
    files_done: 0,
    problem_count: 0,
  }
  return {
    opened,
    tree: { objects, packs: createPackRows(objects, body.packs), fence: body.fence },
    objects: seen,
    findings: [],
    damaged: new Set(),
    bounds,
    progress,
    report: () => report({ ...progress }),
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

/** A record or secret that cannot be believed is a finding about all of the backup. */
const ofWholeBackup = (failure: Failure): VerificationResult => ({
  status: 'failed',
  files: 0,
  objects: 0,
  bytes: 0,
  problem_count: 1,
  problems: [{ path: '/', to: null, code: failure.code, problem: failure.message }],
})

const check = async (
  parts: VerifyParts,
  job: VerificationJob,
  { stop, report, bounds }: { stop: AbortSignal; report: Report; bounds: Bounds },
): Promise<{ readonly result: VerificationResult; readonly progress: VerificationProgress }> => {
  const committed = await committedFor(parts, job)
  let opened: Opened
  try {
    opened = await openContent(parts, [committed, job.openRequest], stop)
  } catch (error) {
    if (!(error instanceof Failure) || !isVaultFault(error)) throw error
    const progress = { bytes_total: 0, bytes_done: 0, files_done: 0, problem_count: 1 }
    return { result: ofWholeBackup(error), progress }
  }
  const checking = begin(opened, [bounds, report])
  checking.report()
  await checkTree(checking)
  await checkErrorList(checking)
  return { result: resultOf(checking), progress: { ...checking.progress } }
}

export const verifyRestore =
  (parts: VerifyParts, bounds = BOUNDS): Work<VerificationJob, VerificationProgress> =>
  async (claim, how) => {
    const { result, progress } = await check(parts, claim.job, { ...how, bounds })
    how.stop.throwIfAborted()
    if (!(await parts.verifications.complete(claim, result, progress)))
      throw fail('LEASE_LOST', { run: 'of this verification' })
  }
