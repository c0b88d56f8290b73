/** Which blobs of a reading are new to the vault, and where each of them comes to lie. */
import { toBase64url } from '#shared/format/bytes.ts'
import type { Locator } from '#shared/format/locator.ts'
import type { Attribute } from '#shared/format/tree.ts'
import type { Tally } from '../../core/progress.ts'
import { loadStat, numbersFor, OUTCOME, type ReadFiles } from '../../core/sealing.ts'
import { type Hole, NO_HOLES } from '../../core/sparse.ts'
import type { Exact, Fault } from '../../core/stat.ts'
import type { Reading, Sealing } from '../../ports.ts'
import type { Crew } from '../crew.ts'
import type { Gate } from '../gate.ts'
import type { Known } from '../known.ts'
import type { Numbers } from '../numbers.ts'
import type { Uploads } from '../uploads.ts'
import type { FileContent } from './content.ts'
import { placeAt, type Segments } from './segments.ts'

/** Why content may not be what the file holds now, in the words of shared/errors.ts. */
export type Doubt = 'SOURCE_CHANGED' | 'SOURCE_SHRUNK'

export type FileRead = {
  readonly exact: Exact
  /** The data between the holes. */
  readonly file: FileContent
  readonly holes: readonly Hole[]
  readonly attributes: readonly Attribute[] | Fault
  /** Wall clock before it was opened, ms. */
  readonly readAt: number
  /** It was written to while it was read: to be read again next time, whatever its times say. */
  readonly moving: boolean
  readonly doubt: Doubt | null
}

/** A file to be read; one of the two is called exactly once unless the run fails. */
export type Wanted = {
  readonly path: string
  readonly size: number
  done(read: FileRead): void
  failed(fault: Fault): void
}

export type ReadParts = {
  readonly sealing: Sealing
  /** Readings under way at the same time. */
  readonly width: number
  readonly known: Known
  readonly numbers: Numbers
  readonly segments: Segments
  readonly uploads: Uploads
  readonly crew: Crew
  readonly tally: Tally
  readonly packBytes: number
}

export type OnPlace = (locator: Locator) => void

export type Stage = ReadParts & {
  readonly gate: Gate
  /** Blobs that are on their way into a pack, and who waits for their places. */
  readonly claims: Map<string, OnPlace[]>
}

const keyOf = (ids: Uint8Array, piece: number): string =>
  Buffer.from(ids.buffer, ids.byteOffset + 32 * piece, 32).toString('latin1')

/** Decides which pieces are new, and has `onPlace` called for each piece once its place is known. */
export const claim = (
  { known, claims, tally }: Stage,
  files: ReadFiles,
  onPlace: (piece: number) => OnPlace,
): Uint8Array => {
  const fresh = new Uint8Array(files.lengths.length)
  for (let piece = 0; piece < fresh.length; piece += 1) {
    const there = known.locate(files.ids, 32 * piece)
    if (there !== null) {
      onPlace(piece)(there)
      continue
    }
    const key = keyOf(files.ids, piece)
    const claimed = claims.get(key)
    if (claimed !== undefined) {
      claimed.push(onPlace(piece))
      continue
    }
    claims.set(key, [onPlace(piece)])
    fresh[piece] = 1
    tally.bytesNew += files.lengths[piece] ?? 0
  }
  return fresh
}

/** Has the fresh pieces put into packs and tells everyone who waits for them. */
export const settle = async (stage: Stage, reading: Reading, fresh: Uint8Array): Promise<void> => {
  const { numbers, known, claims } = stage
  const { ids, lengths } = reading.files
  const given = fresh.includes(1) ? await numbers.take(numbersFor(stage.packBytes)) : []
  const placed = await reading.place(fresh, given)
  numbers.give(placed.unused)
  let index = 0
  for (const [piece, isFresh] of fresh.entries()) {
    if (isFresh !== 1) continue
    const place = { ...placeAt(placed, index), length: lengths[piece] ?? 0 }
    index += 1
    known.add(ids, 32 * piece, place)
    const id = toBase64url(ids.subarray(32 * piece, 32 * piece + 32))
    const { pack, frameOffset, frameLength, offset, length } = place
    const locator: Locator = [pack, frameOffset, frameLength, offset, length, id]
    const key = keyOf(ids, piece)
    const waiting = claims.get(key) ?? []
    claims.delete(key)
    for (const onPlace of waiting) onPlace(locator)
  }
}

const doubtOf = (outcome: number): Doubt | null => {
  if (outcome === OUTCOME.changed) return 'SOURCE_CHANGED'
  return outcome === OUTCOME.shrunk ? 'SOURCE_SHRUNK' : null
}

export const readOf = (files: ReadFiles, index: number): Omit<FileRead, 'file'> => {
  const outcome = files.outcomes[index] ?? OUTCOME.read
  const extra = files.extras.find((one) => one.index === index)
  return {
    holes: extra?.holes ?? NO_HOLES,
    attributes: extra?.attributes ?? [],
    exact: loadStat(files.stats, index),
    readAt: files.readAt,
    moving: outcome !== OUTCOME.read,
    doubt: doubtOf(outcome),
  }
}

export const NOT_A_FILE: Fault = { fault: 'ESTALE', problem: 'it is no longer a file' }
export const RESTLESS: Fault = {
  fault: 'ESTALE',
  problem: 'it was replaced or grew again and again',
}

export const faultAt = (files: ReadFiles, index: number): Fault =>
  files.faults.find((fault) => fault.index === index) ?? NOT_A_FILE
