/**
 * Content of a backup, checked down to the ids of its blobs: neighbouring frames with one read, each frame decoded once,
 * each piece compared with its id before anybody sees it. What is damaged is read twice, and then by itself, so that a
 * wrong byte concerns no more than the pieces that need it.
 */
import { Failure, fail, hasCode } from '#shared/errors.ts'
import { openSegments, segmentRange } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { decodeFrame } from '#shared/format/frame.ts'
import type { PackNo } from '#shared/format/locator.ts'
import { ahead } from '#shared/read/ahead.ts'
import type { OpenedObject } from '#shared/read/access.ts'
import { twice } from '#shared/read/object.ts'
import { type PlannedFrame, type PlannedPiece, planJobs, type Wanted } from '#shared/read/plan.ts'
import { KiB, MiB } from '#shared/units.ts'
import { isVaultFault } from '../../core/backup-file.ts'
import type { ReadBackup } from '../read-backup.ts'

export type Pieces = {
  readonly backup: Pick<ReadBackup, 'objects' | 'tree' | 'access'>
  /** The id of a blob: HMAC-SHA-256 under the vault's id key. */
  readonly idOf: (bytes: Uint8Array) => Uint8Array
}

export type ReadPiece<By> = {
  readonly piece: PlannedPiece<By>
  readonly pack: PackNo
  /** The bytes, or why there are none. */
  readonly bytes: Uint8Array | Failure
}

/** What lies between two frames is read with them when it is less than a request costs. */
const GAP = 256 * KiB
/** One read brings at most so much, unless a single frame is larger. */
const MOST_READ = 8 * MiB
/** Reads that are under way before the one in use. */
const AHEAD = 2

type Run<By> = { readonly pack: PackNo; readonly frames: readonly PlannedFrame<By>[] }

const lengthOf = <By>({ pieces }: PlannedFrame<By>): number =>
  pieces.reduce((sum, { length }) => sum + length, 0)

type Building<By> = { begin: number; end: number; wanted: number; frames: PlannedFrame<By>[] }

/** Neighbours together, so that neither what is read at once nor what is given out of it grows large. */
const runsOf = <By>(pack: PackNo, frames: readonly PlannedFrame<By>[]): readonly Run<By>[] => {
  const runs: Building<By>[] = []
  for (const frame of frames) {
    const end = frame.offset + frame.length
    const wanted = lengthOf(frame)
    const last = runs.at(-1)
    const joins =
      last !== undefined &&
      frame.offset - last.end <= GAP &&
      end - last.begin <= MOST_READ &&
      last.wanted + wanted <= MOST_READ
    if (!joins) {
      runs.push({ begin: frame.offset, end, wanted, frames: [frame] })
      continue
    }
    last.frames.push(frame)
    last.end = Math.max(last.end, end)
    last.wanted += wanted
  }
  return runs.map((run) => ({ pack, frames: run.frames }))
}

const asFailure = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  throw error
}

/** Plaintext from the first frame's begin to the last one's end. */
const readPlain = async <By>(
  { backup }: Pieces,
  object: OpenedObject,
  frames: readonly PlannedFrame<By>[],
): Promise<{ readonly plain: Uint8Array; readonly from: number }> => {
  const from = Math.min(...frames.map(({ offset }) => offset))
  const end = Math.max(...frames.map(({ offset, length }) => offset + length))
  const range = segmentRange({ start: from, end }, object.preambleLength, object.size)
  const sealed = await backup.access.read(object.key, range.start, range.end)
  const opened = openSegments(object.payloadKey, sealed, range.firstSegment, range.isLast)
  return { plain: opened.subarray(range.skip, range.skip + end - from), from }
}

const pieceOf = <By>(
  { idOf }: Pieces,
  [frame, key]: readonly [Uint8Array, string],
  { offset, length, id }: PlannedPiece<By>,
): Uint8Array => {
  const bytes = frame.subarray(offset, offset + length)
  if (bytes.length === length && toBase64url(idOf(bytes)) === id) return bytes
  throw fail('DAMAGED', {
    what: `The object ${key}`,
    problem: 'a blob is not the one that it says',
  })
}

/** Pieces of one frame, each with its bytes or its failure. Throws where the frame itself cannot be had. */
const piecesOf = <By>(
  pieces: Pieces,
  [pack, key]: readonly [PackNo, string],
  [frame, encoded]: readonly [PlannedFrame<By>, Uint8Array],
): readonly ReadPiece<By>[] => {
  const decoded = decodeFrame(encoded)
  // A view of it would keep all of the frame.
  const isSmall = 2 * lengthOf(frame) < decoded.length
  return frame.pieces.map((piece) => {
    try {
      const bytes = pieceOf(pieces, [decoded, key], piece)
      return { piece, pack, bytes: isSmall ? new Uint8Array(bytes) : bytes }
    } catch (error) {
      return { piece, pack, bytes: asFailure(error) }
    }
  })
}

const isGood = <By>({ bytes }: ReadPiece<By>): boolean => !(bytes instanceof Failure)

/** One read, and once more where anything of it is not right. Throws where a frame cannot be had. */
const readFrames = async <By>(
  pieces: Pieces,
  { pack, frames }: Run<By>,
): Promise<readonly ReadPiece<By>[]> => {
  const object = await pieces.backup.objects.open(await pieces.backup.tree.packs.row(pack))
  const attempt = async (): Promise<readonly ReadPiece<By>[]> => {
    const { plain, from } = await readPlain(pieces, object, frames)
    return frames.flatMap((frame) => {
      const encoded = plain.subarray(frame.offset - from, frame.offset - from + frame.length)
      return piecesOf(pieces, [pack, object.key], [frame, encoded])
    })
  }
  const read = await twice(attempt)
  return read.every(isGood) ? read : attempt()
}

/** What the vault is not at fault for is thrown: it says nothing about the content. */
const lostPieces = <By>({ pack, frames }: Run<By>, error: unknown): readonly ReadPiece<By>[] => {
  const failure = asFailure(error)
  if (!isVaultFault(failure)) throw failure
  return frames.flatMap((frame) => frame.pieces.map((piece) => ({ piece, pack, bytes: failure })))
}

/** A run, or else each frame of it by itself. */
const readRun = async <By>(pieces: Pieces, run: Run<By>): Promise<readonly ReadPiece<By>[]> => {
  try {
    return await readFrames(pieces, run)
  } catch (error) {
    if (!hasCode(error, 'DAMAGED') || run.frames.length < 2) return lostPieces(run, error)
    const read: ReadPiece<By>[] = []
    for (const frame of run.frames)
      read.push(...(await readRun(pieces, { pack: run.pack, frames: [frame] })))
    return read
  }
}

/** Everything wanted, in order of packs; nothing is left out. Throws what is not of the vault, such as a store that is away. */
export async function* readPieces<By>(
  pieces: Pieces,
  wanted: readonly Wanted<By>[],
): AsyncGenerator<ReadPiece<By>, void, void> {
  const runs = planJobs(wanted).flatMap(({ pack, frames }) => runsOf(pack, frames))
  for await (const read of ahead(runs, AHEAD, async (run) => readRun(pieces, run))) yield* read
}
