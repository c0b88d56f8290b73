/** One job of a restore, in a thread: read, decrypt, decompress, check against the blob ids, write. */
import { Failure, fail, hasCode, problemOf } from '#shared/errors.ts'
import { openSegmentsInPlace, type SegmentRange, segmentRange } from '#shared/format/age.ts'
import { createBlobIds } from '#shared/format/blob-id.ts'
import { release, toBase64url } from '#shared/format/bytes.ts'
import { decodeFrame } from '#shared/format/frame.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import type {
  Again,
  ExtractJob,
  ExtractResult,
  FrameWork,
  Into,
  NotSet,
  PieceWork,
  Problem,
} from '../core/restore-job.ts'
import type { OpenedObject } from '#shared/read/access.ts'
import { runsOf } from '../core/restore-runs.ts'
import { type Memory, readOnce, readRange } from './object-source-read.ts'
import { createReadMemory, type ReadMemory } from './restore-memory.ts'
import { writeAll, writeWhole } from './restore-whole.ts'

export type Extract = (job: ExtractJob, again?: Again) => Promise<ExtractResult>

type Thread = {
  readonly idOf: (content: Uint8Array) => Uint8Array
  /** A new name for a file in the making. */
  readonly temporary: () => Bytes
  readonly memory: ReadMemory
  /** Breaks off what is being read. */
  readonly stop: AbortSignal
}

const NEVER = new AbortController().signal

/** `tag` names this thread's temporary files: random, and another for each thread. */
export const createExtract = (idKey: Uint8Array, tag: string, stop = NEVER): Extract => {
  let made = 0
  const thread: Thread = {
    idOf: createBlobIds(idKey),
    memory: createReadMemory(),
    stop,
    temporary: () => {
      made += 1
      return `.holdfast-${tag}-${made}`
    },
  }
  return async (job, again) => extract(thread, job, again)
}

type Results = {
  readonly files: (Problem | null)[]
  readonly pieces: Map<FrameWork, (Problem | null)[]>
  readonly notSet: NotSet[]
}

const NOT_MADE: Problem = { code: 'INTERNAL_AGENT', details: { problem: 'no piece made the file' } }

const extract = async (
  thread: Thread,
  job: ExtractJob,
  again: Again | undefined,
): Promise<ExtractResult> => {
  const results: Results = { files: job.files.map(() => NOT_MADE), pieces: new Map(), notSet: [] }
  let fetched = 0
  if (job.object === null) {
    job.files.forEach((file, i) => {
      results.files[i] = attempt(() => note(results, writeWhole(file, thread.temporary(), EMPTY)))
    })
  } else {
    const source = createSource(job.object, again, thread)
    const work = { thread, job, results, source }
    for (const run of runsOf(job.frames)) await extractRun(work, run)
    fetched = source.fetched
  }
  const pieces = job.frames.map((frame) => results.pieces.get(frame) ?? [])
  return { files: results.files, pieces, notSet: results.notSet, fetched }
}

const note = ({ notSet }: Results, kinds: NotSet): void => {
  if (kinds.length > 0) notSet.push(kinds)
}

const EMPTY = new Uint8Array()

/** `done`: nobody needs the bytes any more. */
type Plain = { readonly bytes: Uint8Array; readonly done: () => void }

type Source = {
  plain(start: number, end: number): Promise<Plain>
  /** Whether a read that failed has been tried for as long as that makes sense. */
  readonly patient: boolean
  readonly fetched: number
}

/** The plaintext of one object, by ranges, from wherever it can be read by then. */
const createSource = (
  object: OpenedObject,
  again: Again | undefined,
  { memory, stop }: Thread,
): Source => {
  let { at } = object
  let fetched = 0
  const read = async (range: SegmentRange, into: Memory): Promise<Uint8Array> => {
    if (again === undefined) {
      fetched += range.end - range.start
      return readRange(at, range, object.key, into)
    }
    for (;;) {
      fetched += range.end - range.start
      const outcome = await readOnce({ at, key: object.key }, range, stop, into)
      if (outcome.done === 'read') return outcome.bytes
      const { how, problem } = outcome
      const next = how === 'final' ? null : await again({ at, refused: how === 'refused', problem })
      if (next === null) throw fail(problem.code, problem.details)
      at = next
    }
  }
  return {
    patient: again !== undefined,
    get fetched() {
      return fetched
    },
    plain: async (start, end) => {
      const range = segmentRange({ start, end }, object.preambleLength, object.size)
      const held = memory.take(range.end - range.start)
      const done = (): void => memory.done(held)
      try {
        const sealed = await read(range, (length) => held.subarray(0, length))
        const { firstSegment, isLast, skip } = range
        const plain = openSegmentsInPlace(object.payloadKey, sealed, firstSegment, isLast)
        return { bytes: plain.subarray(skip, skip + end - start), done }
      } catch (error) {
        done()
        throw error
      }
    },
  }
}

type Work = {
  readonly thread: Thread
  readonly job: ExtractJob
  readonly results: Results
  readonly source: Source
}

/** All frames of a run from one read; where that fails, each by itself, so that damage stays with its own frames. */
const extractRun = async (work: Work, run: readonly FrameWork[]): Promise<void> => {
  const [first] = run
  const last = run.at(-1)
  if (first === undefined || last === undefined) return
  let plain: Plain | null = null
  try {
    plain = await work.source.plain(first.offset, last.offset + last.length)
  } catch (error) {
    if (work.source.patient && !hasCode(error, 'DAMAGED')) {
      const problem = problemFrom(error)
      for (const frame of run) loseFrame(work, frame, problem)
      return
    }
    // Whatever it was shows again below, and is said of the frames that it concerns.
  }
  try {
    for (const frame of run) {
      const at = frame.offset - first.offset
      const bytes = plain?.bytes.subarray(at, at + frame.length) ?? null
      await extractFrame(work, { frame, bytes })
    }
  } finally {
    plain?.done()
  }
}

const loseFrame = (work: Work, frame: FrameWork, problem: Problem): void => {
  work.results.pieces.set(
    frame,
    frame.pieces.map((piece) => loseAll(work, piece, problem)),
  )
}

type Read = { readonly frame: FrameWork; readonly bytes: Uint8Array | null }

const extractFrame = async (work: Work, { frame, bytes }: Read): Promise<void> => {
  let content: Uint8Array
  try {
    content = decoded(bytes) ?? (await decodeAlone(work.source, frame))
  } catch (error) {
    loseFrame(work, frame, problemFrom(error))
    return
  }
  const given = frame.pieces.map((piece) => givePiece(work, piece, content))
  work.results.pieces.set(frame, given)
  release(content)
}

/** Null where it must be read again: what goes wrong on the way, once, is no damage. */
const decoded = (bytes: Uint8Array | null): Uint8Array | null => {
  try {
    return bytes === null ? null : decodeFrame(bytes)
  } catch {
    return null
  }
}

const decodeAlone = async (source: Source, frame: FrameWork): Promise<Uint8Array> => {
  const { bytes, done } = await source.plain(frame.offset, frame.offset + frame.length)
  try {
    return decodeFrame(bytes)
  } finally {
    done()
  }
}

const loseAll = ({ results }: Work, piece: PieceWork, problem: Problem): Problem => {
  for (const into of piece.into) if (typeof into === 'number') results.files[into] = problem
  return problem
}

/** Writes one piece wherever it belongs: only bytes that have the right id are ever written. */
const givePiece = (work: Work, piece: PieceWork, content: Uint8Array): Problem | null => {
  const bytes = content.subarray(piece.offset, piece.offset + piece.length)
  if (bytes.length !== piece.length || toBase64url(work.thread.idOf(bytes)) !== piece.id) {
    return loseAll(work, piece, WRONG_ID)
  }
  let worst: Problem | null = null
  for (const into of piece.into) {
    const problem = attempt(() => {
      write(work, into, bytes)
    })
    if (typeof into === 'number') work.results.files[into] = problem
    else worst ??= problem
  }
  return worst
}

const WRONG_ID: Problem = {
  code: 'DAMAGED',
  details: { what: 'A run of content', problem: 'it is not what its id says' },
}

const write = ({ thread, job, results }: Work, into: Into, bytes: Uint8Array): void => {
  if (typeof into !== 'number') {
    writeAll(into.fd, bytes.subarray(into.from, into.from + into.length), into.at)
    return
  }
  const file = job.files[into]
  if (file === undefined) throw fail('INTERNAL_AGENT', { problem: 'a piece without a file' })
  note(results, writeWhole(file, thread.temporary(), bytes))
}

const attempt = (act: () => void): Problem | null => {
  try {
    act()
    return null
  } catch (error) {
    return problemFrom(error)
  }
}

const problemFrom = (error: unknown): Problem => {
  if (!(error instanceof Failure)) {
    return { code: 'INTERNAL_AGENT', details: { problem: problemOf(error) } }
  }
  return { code: error.code, details: error.details }
}
