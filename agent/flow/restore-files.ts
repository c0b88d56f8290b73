/** Restores files: gathers what they need, pack by pack, and hands it to the threads in jobs. Memory is bounded. */
import { Failure } from '#shared/errors.ts'
import type { Locator } from '#shared/format/locator.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { MiB } from '#shared/units.ts'
import type {
  Again,
  Attributes,
  ExtractJob,
  Into,
  NotSet,
  Problem,
  WholeFile,
} from '../core/restore-job.ts'
import { createLayout, type Run } from '../core/restore-layout.ts'
import { planJobs, type PlannedJob, type Wanted } from '#shared/read/plan.ts'
import type { Extractors, OpenDirectory, OpenFile, RestoreTarget } from '../core/restore-ports.ts'
import type { Crew } from './crew.ts'
import { createGate, type Gate } from './gate.ts'
import type { ObjectFacts } from '#shared/read/access.ts'
import type { TreeOf } from '#shared/read/tree.ts'
import type { PackRow } from '#shared/format/pack-table.ts'

/** What is gathered before it is planned: enough that the files of a folder find their frames together. */
const BATCH_BYTES = 32 * MiB
const BATCH_PIECES = 4096
/** Directories and large files in use at once: far below what a process may have open. */
const HANDLES = 384

export type FileToRestore = {
  readonly dir: Bytes
  readonly name: Bytes
  readonly size: number
  readonly holes: readonly (readonly [offset: number, length: number])[]
  readonly attributes: Attributes
  /** Null when the file stands, complete, under its name. */
  readonly done: (problem: Problem | null) => void
}

/** Locators of a file's content in order, a run at a time. */
export type Pieces = AsyncIterable<readonly Locator[]> | Iterable<readonly Locator[]>

/** A file of several pieces, open until the last one is there. */
type Large = { readonly open: OpenFile; waiting: number; problem: Problem | null }

type By =
  | { readonly whole: WholeFile; readonly done: (problem: Problem | null) => void }
  | { readonly large: Large; readonly runs: readonly Run[]; readonly settle: () => void }

export type Restorer = {
  /** Takes a file of at most one piece, and its directory, which stays open until it is done. */
  whole(file: FileToRestore, folder: OpenDirectory, locator: Locator | null): Promise<void>
  /** Takes any other file, piece by piece. */
  large(file: FileToRestore, pieces: Pieces): Promise<void>
  /** Hands over what is gathered; what runs then belongs to the crew. */
  flush(): Promise<void>
  /** A permit to keep one more directory open; waits, after handing over what is gathered, where there are too many. */
  handle(): Promise<{ readonly release: () => void }>
}

/** What threads that read have to do with whoever knows where the objects are. */
export type Reads = {
  /** What a thread that cannot read an object does about it. */
  readonly again?: (facts: ObjectFacts) => Again
  /** Hears how many bytes a thread has asked for, and whether it got something. */
  readonly read?: (bytes: number, isGood: boolean) => void
}

type Parts = {
  readonly tree: TreeOf
  readonly target: RestoreTarget
  readonly extractors: Extractors
  readonly crew: Crew
  /** Hears of each file that did not get all of its attributes. */
  readonly notSet: (kinds: NotSet) => void
} & Reads

export const createRestorer = (parts: Parts): Restorer => {
  const gate = createGate(parts.extractors.width)
  const handles = createGate(HANDLES)
  const give = (): void => {
    gate.break(parts.crew.stop.reason)
    handles.break(parts.crew.stop.reason)
  }
  parts.crew.stop.addEventListener('abort', give, { once: true })
  let wanted: Wanted<By>[] = []
  let empty: Extract<By, { whole: WholeFile }>[] = []
  let bytes = 0
  const flush = async (): Promise<void> => {
    const jobs = planJobs(wanted)
    const files = empty
    wanted = []
    empty = []
    bytes = 0
    if (files.length > 0) await begin(parts, gate, async () => runEmpty(parts, files))
    for (const job of jobs) await begin(parts, gate, async () => runJob(parts, job))
  }
  const want = async (locator: Locator, by: By): Promise<void> => {
    wanted.push({ locator, by })
    bytes += locator[4]
    if (wanted.length >= BATCH_PIECES || bytes >= BATCH_BYTES) await flush()
  }
  const handle = async (): Promise<{ readonly release: () => void }> => {
    if (handles.used >= HANDLES) await flush()
    await handles.enter()
    return { release: () => handles.leave() }
  }
  return {
    whole: async (file, { ref: directory }, locator) => {
      const whole = { ...file.attributes, directory, name: file.name }
      const by = { whole, done: file.done }
      if (locator !== null) await want(locator, by)
      else if (empty.push(by) >= BATCH_PIECES) await flush()
    },
    large: async (file, pieces) => {
      const { release } = await handle()
      await restoreLarge(parts, file, { pieces, want, release })
    },
    flush,
    handle,
  }
}

/** The walk waits here when all threads are busy. */
const begin = async ({ crew }: Parts, gate: Gate, run: () => Promise<void>): Promise<void> => {
  await gate.enter()
  crew.run(async () => {
    try {
      await run()
    } finally {
      gate.leave()
    }
  })
}

const runEmpty = async (
  { extractors, notSet }: Parts,
  files: readonly Extract<By, { whole: WholeFile }>[],
): Promise<void> => {
  const job = { object: null, files: files.map((by) => by.whole), frames: [] }
  const result = await extractors.run(job)
  result.notSet.forEach(notSet)
  files.forEach((by, i) => {
    by.done(result.files[i] ?? null)
  })
}

const runJob = async (
  { tree, extractors, again, read, notSet }: Parts,
  planned: PlannedJob<By>,
): Promise<void> => {
  let row: PackRow
  let object: ExtractJob['object']
  try {
    row = await tree.packs.row(planned.pack)
    object = await tree.objects.open(row)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    settleAll(planned, error)
    return
  }
  const { job, owners } = makeJob(planned, object)
  const result = await extractors.run(job, again?.(row))
  read?.(
    result.fetched,
    result.pieces.some((pieces) => pieces.includes(null)),
  )
  result.notSet.forEach(notSet)
  owners.forEach((owner, i) => {
    owner(result.files[i] ?? null)
  })
  planned.frames.forEach((frame, f) => {
    frame.pieces.forEach((piece, p) => {
      const problem = result.pieces[f]?.[p] ?? null
      for (const by of piece.by) if ('large' in by) settlePiece(by, problem)
    })
  })
}

type Owner = (problem: Problem | null) => void

const makeJob = (
  planned: PlannedJob<By>,
  object: ExtractJob['object'],
): { readonly job: ExtractJob; readonly owners: readonly Owner[] } => {
  const files: WholeFile[] = []
  const owners: Owner[] = []
  const intoOf = (by: By): readonly Into[] => {
    if ('large' in by) return by.runs.map((run) => ({ ...run, fd: by.large.open.fd }))
    owners.push(by.done)
    return [files.push(by.whole) - 1]
  }
  const frames = planned.frames.map(({ offset, length, pieces }) => ({
    offset,
    length,
    pieces: pieces.map(({ by, ...piece }) => ({ ...piece, into: by.flatMap(intoOf) })),
  }))
  return { job: { object, files, frames }, owners }
}

const settleAll = (planned: PlannedJob<By>, problem: Problem): void => {
  for (const frame of planned.frames) {
    for (const piece of frame.pieces) {
      for (const by of piece.by) {
        if ('large' in by) settlePiece(by, problem)
        else by.done(problem)
      }
    }
  }
}

const settlePiece = (by: Extract<By, { large: Large }>, problem: Problem | null): void => {
  by.large.problem ??= problem
  by.settle()
}

type Feed = {
  readonly pieces: Pieces
  readonly want: (locator: Locator, by: By) => Promise<void>
  readonly release: () => void
}

/** Pieces are written where they belong as they come, in any order; the last one to be settled ends the file. */
const restoreLarge = async (
  { target, notSet }: Parts,
  file: FileToRestore,
  { pieces, want, release }: Feed,
): Promise<void> => {
  const open = tryTo(file, () => target.file(file.dir, file.name, file.size))
  if (open === null) {
    release()
    return
  }
  // One more than its pieces, for this walk over them.
  const large: Large = { open, waiting: 1, problem: null }
  const settle = (): void => {
    large.waiting -= 1
    if (large.waiting > 0) return
    release()
    finish(file, large, notSet)
  }
  try {
    const layout = createLayout(file.size, file.holes)
    for await (const locators of pieces) {
      if (large.problem !== null) break
      for (const locator of locators) {
        const runs = layout.next(locator[4])
        large.waiting += 1
        await want(locator, { large, runs, settle })
      }
    }
    if (large.problem === null) layout.end()
  } catch (error) {
    large.problem ??= failureOf(error)
    if (!(error instanceof Failure)) throw error
  } finally {
    settle()
  }
}

const failureOf = (error: unknown): Problem =>
  error instanceof Failure ? error : { code: 'INTERNAL_AGENT', details: {} }

const tryTo = <T>(file: FileToRestore, act: () => T): T | null => {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    file.done(error)
    return null
  }
}

const finish = (
  file: FileToRestore,
  { open, problem }: Large,
  notSet: (kinds: NotSet) => void,
): void => {
  if (problem !== null) {
    open.drop()
    file.done(problem)
    return
  }
  const kept = tryTo(file, () => {
    notSet(open.keep(file.attributes))
    return true
  })
  if (kept === true) file.done(null)
}
