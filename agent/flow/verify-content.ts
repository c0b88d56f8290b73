/** Reads everything that a backup, or paths of it, need, down to the ids of the blobs, and writes nothing. */
import { Failure } from '#shared/errors.ts'
import type { SegmentLine } from '#shared/format/segment.ts'
import { type Bytes, pathOf } from '#shared/format/tree-order.ts'
import { contentOf } from '#shared/read/content.ts'
import { planJobs, type PlannedJob, type Wanted } from '#shared/read/plan.ts'
import { pathOfRange, stepsOf } from '#shared/read/select.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { blame, type RestoreCounts, type RestoreEvent } from '../core/restore-events.ts'
import type { Problem } from '../core/restore-job.ts'
import type { Extractors } from '../core/restore-ports.ts'
import { createCrew, type Crew } from './crew.ts'
import { createGate, type Gate } from './gate.ts'

export type VerifyContent = {
  readonly tree: TreeOf
  readonly extractors: Extractors
  /** Absolute paths, as byte strings; none is everything. */
  readonly paths: readonly Bytes[]
  readonly tell: (event: RestoreEvent) => void
  readonly taken: () => Promise<void>
  readonly counts: RestoreCounts
}

/** Pieces gathered before they are planned: neighbours find their frames together. */
const BATCH = 4096

type File = {
  readonly path: Bytes
  readonly size: number
  waiting: number
  problem: Problem | null
}

type Session = {
  readonly ask: VerifyContent
  readonly crew: Crew
  readonly gate: Gate
  wanted: Wanted<File>[]
}

/** Throws when stopped, and for mistakes of ours; what lies in the vault is told and counted. */
export const verifyContent = async (ask: VerifyContent, stop: AbortSignal): Promise<void> => {
  const crew = createCrew(stop)
  const gate = createGate(ask.extractors.width)
  const give = (): void => gate.break(crew.stop.reason)
  crew.stop.addEventListener('abort', give, { once: true })
  const session: Session = { ask, crew, gate, wanted: [] }
  try {
    for (const { step, range } of stepsOf(ask.paths)) {
      let found = step !== 'entry'
      for await (const part of walkTree(ask.tree, range)) {
        crew.stop.throwIfAborted()
        await ask.taken()
        found = true
        if (part.part === 'lost') {
          ask.counts.lost += 1
          ask.tell({ at: 'lost', from: part.from, to: part.to, problem: part.failure })
        } else if (step !== 'ancestor') for (const line of part.entries) await look(session, line)
      }
      if (found) continue
      ask.counts.absent += 1
      ask.tell({ at: 'absent', path: pathOfRange(range) })
    }
    await flush(session)
    await crew.settle()
  } finally {
    await crew.disband(new Error('the verification ended'))
  }
}

const look = async (session: Session, { dir, name, entry }: SegmentLine): Promise<void> => {
  const { counts, tree } = session.ask
  if (entry.type === 'directory') counts.directories += 1
  else if (entry.type !== 'file') counts.others += 1
  if (entry.type !== 'file') return
  // One more than its pieces, for this walk over them.
  const file: File = { path: pathOf(dir, name), size: entry.size ?? 0, waiting: 1, problem: null }
  try {
    for await (const locators of contentOf(tree, entry))
      for (const locator of locators) {
        file.waiting += 1
        session.wanted.push({ locator, by: file })
        if (session.wanted.length >= BATCH) await flush(session)
      }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    file.problem ??= error
  }
  settle(session.ask, file, null)
}

const settle = ({ counts, tell }: VerifyContent, file: File, problem: Problem | null): void => {
  file.problem ??= problem
  file.waiting -= 1
  if (file.waiting > 0) return
  if (file.problem === null) {
    counts.files += 1
    counts.bytes += file.size
    return
  }
  const at = blame(file.problem)
  counts[at] += 1
  tell({ at, path: file.path, problem: file.problem })
}

const flush = async (session: Session): Promise<void> => {
  const { ask, crew, gate } = session
  const jobs = planJobs(session.wanted)
  session.wanted = []
  for (const job of jobs) {
    await gate.enter()
    crew.run(async () => {
      try {
        await runJob(ask, job)
      } finally {
        gate.leave()
      }
    })
  }
}

const runJob = async (ask: VerifyContent, planned: PlannedJob<File>): Promise<void> => {
  const { tree, extractors } = ask
  const each = (problemOf: (frame: number, piece: number) => Problem | null): void => {
    planned.frames.forEach((frame, f) => {
      frame.pieces.forEach((piece, p) => {
        for (const file of piece.by) settle(ask, file, problemOf(f, p))
      })
    })
  }
  try {
    const object = await tree.objects.open(await tree.packs.row(planned.pack))
    const frames = planned.frames.map(({ pieces, ...frame }) => ({
      ...frame,
      pieces: pieces.map(({ offset, length, id }) => ({ offset, length, id, into: [] })),
    }))
    const { pieces } = await extractors.run({ object, files: [], frames })
    each((f, p) => pieces[f]?.[p] ?? null)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    each(() => error)
  }
}
