/**
 * Changed files → where their content lies: batches of neighbours and parts of large files go to the sealing threads,
 * which of their blobs are new to the vault is decided here. A bounded number of readings is under way.
 */
import { toBase64url } from '#shared/format/bytes.ts'
import type { Locator } from '#shared/format/locator.ts'
import type { Tally } from '../../core/progress.ts'
import {
  BATCH_BYTES,
  BATCH_FILES,
  loadStat,
  numbersFor,
  OUTCOME,
  WHOLE_READ,
  type ReadFiles,
} from '../../core/sealing.ts'
import { isFile, type Exact, type Fault } from '../../core/stat.ts'
import type { Reading, Sealing } from '../../ports.ts'
import type { Crew } from '../crew.ts'
import { createGate, type Gate } from '../gate.ts'
import type { Known } from '../known.ts'
import type { Numbers } from '../numbers.ts'
import type { Uploads } from '../uploads.ts'
import { createAssembly, type Assembly, type FileContent } from './content.ts'
import { placeAt, type Segments } from './segments.ts'

/** Why content may not be what the file holds now, in the words of shared/errors.ts. */
export type Doubt = 'SOURCE_CHANGED' | 'SOURCE_SHRUNK'

export type FileRead = {
  readonly exact: Exact
  readonly file: FileContent
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

export type Reader = {
  submit(file: Wanted): void
  /** Begins what waits for a full batch. */
  flush(): void
  /** Resolves when another batch could begin. */
  room(): Promise<void>
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

type OnPlace = (locator: Locator) => void

type Stage = ReadParts & {
  readonly gate: Gate
  /** Blobs that are on their way into a pack, and who waits for their places. */
  readonly claims: Map<string, OnPlace[]>
}

/** A file that moves on while it is tried is given up after so many readings. */
const TRIES = 3

const keyOf = (ids: Uint8Array, piece: number): string =>
  Buffer.from(ids.buffer, ids.byteOffset + 32 * piece, 32).toString('latin1')

/** Decides which pieces are new, and has `onPlace` called for each piece once its place is known. */
const claim = (
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
const settle = async (stage: Stage, reading: Reading, fresh: Uint8Array): Promise<void> => {
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

/** The content of a small file: a few pieces, placed in any order. */
const gather = (count: number, done: (content: FileContent) => void): ((n: number) => OnPlace) => {
  const content: Locator[] = []
  let missing = count
  let size = 0
  if (count === 0) done({ size: 0, content, more: [], uses: [] })
  return (n) => (locator) => {
    content[n] = locator
    size += locator[4]
    missing -= 1
    if (missing === 0) done({ size, content, more: [], uses: [] })
  }
}

const doubtOf = (outcome: number): Doubt | null => {
  if (outcome === OUTCOME.changed) return 'SOURCE_CHANGED'
  return outcome === OUTCOME.shrunk ? 'SOURCE_SHRUNK' : null
}

type Read = Pick<FileRead, 'exact' | 'readAt' | 'moving' | 'doubt'>

const readOf = (files: ReadFiles, index: number): Read => {
  const outcome = files.outcomes[index] ?? OUTCOME.read
  return {
    exact: loadStat(files.stats, index),
    readAt: files.readAt,
    moving: outcome !== OUTCOME.read,
    doubt: doubtOf(outcome),
  }
}

const NOT_A_FILE: Fault = { fault: 'ESTALE', problem: 'it is no longer a file' }
const RESTLESS: Fault = { fault: 'ESTALE', problem: 'it was replaced or grew again and again' }

const faultAt = (files: ReadFiles, index: number): Fault =>
  files.faults.find((fault) => fault.index === index) ?? NOT_A_FILE

type Try = Wanted & { readonly tries: number }

export const createReader = (parts: ReadParts): Reader => {
  const { sealing, crew, uploads, tally } = parts
  const gate = createGate(parts.width)
  const larges = createGate(1)
  crew.stop.addEventListener('abort', () => {
    gate.break(crew.stop.reason)
    larges.break(crew.stop.reason)
  })
  const stage: Stage = { ...parts, gate, claims: new Map() }
  let batch: Try[] = []
  let bytes = 0

  const again = (file: Try, exact: Exact): void => {
    if (!isFile(exact.mode)) file.failed(NOT_A_FILE)
    else if (file.tries >= TRIES) file.failed(RESTLESS)
    else add({ ...file, size: exact.size, tries: file.tries + 1 })
  }
  /** Per piece of a batch, what is to be done with its place. */
  const receivers = (files: ReadFiles, wanted: readonly Try[]): OnPlace[] => {
    const onPlaces: OnPlace[] = []
    for (const [index, file] of wanted.entries()) {
      const outcome = files.outcomes[index]
      const pieces = files.pieceCounts[index] ?? 0
      if (outcome === OUTCOME.fault) file.failed(faultAt(files, index))
      else if (outcome === OUTCOME.later) again(file, loadStat(files.stats, index))
      else {
        tally.bytesRead += files.sizes[index] ?? 0
        const receive = gather(pieces, (content) =>
          file.done({ ...readOf(files, index), file: content }),
        )
        for (let n = 0; n < pieces; n += 1) onPlaces.push(receive(n))
      }
    }
    return onPlaces
  }
  const runBatch = async (wanted: readonly Try[]): Promise<void> => {
    tally.phase = 'uploading'
    await uploads.room()
    await gate.enter()
    try {
      const reading = await sealing.files(wanted.map((file) => file.path))
      const onPlaces = receivers(reading.files, wanted)
      const fresh = claim(stage, reading.files, (piece) => onPlaces[piece] ?? (() => undefined))
      await settle(stage, reading, fresh)
    } finally {
      gate.leave()
    }
  }
  const flush = (): void => {
    if (batch.length === 0) return
    const full = batch
    batch = []
    bytes = 0
    crew.run(async () => await runBatch(full))
  }
  const add = (file: Try): void => {
    if (file.size > WHOLE_READ) {
      crew.run(async () => {
        await larges.enter()
        try {
          await readLarge(stage, file)
        } finally {
          larges.leave()
        }
      })
      return
    }
    if (bytes + file.size > BATCH_BYTES) flush()
    batch.push(file)
    bytes += file.size
    if (batch.length >= BATCH_FILES || bytes >= BATCH_BYTES) flush()
  }
  return {
    submit: (file) => add({ ...file, tries: 1 }),
    flush,
    room: async () => {
      await gate.room()
      await larges.room()
    },
  }
}

type Parts = {
  readonly exact: Exact
  readonly readAt: number
  moving: boolean
  doubt: Doubt | null
}

const sameFile = (a: Exact, b: Exact): boolean => a.dev === b.dev && a.ino === b.ino

const isUntouched = (a: Exact, b: Exact): boolean =>
  a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs

/** Takes up one part of a large file; a fault where it is another file by now. */
const takePart = (parts: Parts | null, files: ReadFiles): Parts | Fault => {
  const outcome = files.outcomes[0]
  if (outcome === OUTCOME.fault) return faultAt(files, 0)
  if (outcome === OUTCOME.later) return NOT_A_FILE
  const now = readOf(files, 0)
  if (parts === null) return { ...now }
  if (!sameFile(parts.exact, now.exact))
    return { ...RESTLESS, problem: 'it was replaced while it was read' }
  const moved = now.moving || !isUntouched(parts.exact, now.exact)
  parts.moving ||= moved
  // Bytes appended behind what is read leave it whole; anything else may have mixed old and new.
  if (moved && now.exact.size <= parts.exact.size) parts.doubt ??= now.doubt ?? 'SOURCE_CHANGED'
  return parts
}

/** Part by part: while one is compressed and sealed, the next is read. Reads no further than the file's first size. */
const readLarge = async (stage: Stage, file: Wanted): Promise<void> => {
  const { sealing, crew, uploads, gate, tally, segments } = stage
  const assembly: Assembly = createAssembly(segments, crew)
  let parts: Parts | null = null
  for (let from = 0; from >= 0;) {
    await uploads.room()
    await gate.enter()
    let reading: Reading
    try {
      reading = await sealing.window({ path: file.path, from, limit: parts?.exact.size ?? -1 })
    } catch (error) {
      gate.leave()
      throw error
    }
    const { files } = reading
    const taken = takePart(parts, files)
    const fresh =
      'fault' in taken
        ? new Uint8Array(files.lengths.length)
        : claim(stage, files, () => placer(assembly))
    if (!('fault' in taken)) tally.bytesRead += files.lengths.reduce((sum, n) => sum + n, 0)
    crew.run(async () => {
      try {
        await settle(stage, reading, fresh)
      } finally {
        gate.leave()
      }
    })
    if ('fault' in taken) {
      file.failed(taken)
      return
    }
    parts = taken
    from = files.next
  }
  const read = parts
  if (read !== null) assembly.finish((content) => file.done({ ...read, file: content }))
}

const placer = (assembly: Assembly): OnPlace => {
  const index = assembly.expect()
  return (locator) => assembly.place(index, locator)
}
