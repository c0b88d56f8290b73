/**
 * What a sealing thread does, without the thread: read files, cut, name, compress, pack, seal. FORMAT.md, "Content".
 * One instance owns one open pack of each kind; nothing in it waits, so calls never overlap.
 */
import { createBlobIds, WHOLE_LIMIT } from '#shared/format/blob-id.ts'
import { createChunker, MAX_CHUNK, type Chunker } from '#shared/format/chunker.ts'
import { FRAME_TARGET, MAX_PIECES } from '#shared/format/frame.ts'
import type { Piece } from '#shared/format/pack.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { fail } from '#shared/errors.ts'
import { ARENA, type Placed, type ReadFiles } from '../core/sealing.ts'
import type { SealingSetup, Segments, Window } from '../ports.ts'
import { createPacker, type Packer, type WorkWorld } from './packer.ts'
import { readPart, readWholes, type Content, type Reading as FileReading } from './read-files.ts'

/** `reading` is to be named in `place`. */
export type Read = { readonly reading: number; readonly files: ReadFiles }

export type Work = {
  files(paths: readonly Bytes[]): Read
  window(window: Window): Read
  place(reading: number, fresh: Uint8Array, numbers: readonly number[]): Placed
  segments(segments: Segments, numbers: readonly number[]): Placed
  flush(kind: 'pack' | 'tree'): void
}

/** Cuts a file's content, which lies at `[start, end)` of the arena; `whole` when its end is the file's. */
const cutContent = (chunker: Chunker, content: Content, arena: Uint8Array): number[] => {
  const { start, end } = content
  if (content.isWholeFile && end - start <= WHOLE_LIMIT) return end > start ? [end] : []
  const cuts: number[] = []
  for (let at = start; at < end;) {
    const cut = chunker.cut(arena, at, end)
    // Nothing told it to cut: whether the piece goes on is seen when more of the file has been read.
    if (cut === end && !content.reachesEnd && end - at < MAX_CHUNK) break
    cuts.push(cut)
    at = cut
  }
  return cuts
}

type Bundle = { readonly arena: Uint8Array; readonly pieces: readonly Piece[] }

/** Fresh pieces in order → bundles of neighbours that share a frame of up to 1 MiB. */
function* bundlesOf(
  arena: Uint8Array,
  pieces: readonly Piece[],
  fresh: Uint8Array,
): Generator<Bundle, void, void> {
  let group: Piece[] = []
  let bytes = 0
  for (const [index, piece] of pieces.entries()) {
    if (fresh[index] !== 1) continue
    if (group.length > 0 && (bytes + piece.length > FRAME_TARGET || group.length >= MAX_PIECES)) {
      yield { arena, pieces: group }
      group = []
      bytes = 0
    }
    group.push(piece)
    bytes += piece.length
  }
  if (group.length > 0) yield { arena, pieces: group }
}

/**
 * The content of a bundle in one run: where its pieces are neighbours in the arena already, without a copy; else in
 * `scratch`, which has room for every bundle of several pieces.
 */
const contentOf = ({ arena, pieces }: Bundle, scratch: Buffer): Uint8Array => {
  const first = pieces[0]?.offset ?? 0
  let end = first
  for (const piece of pieces) {
    if (piece.offset !== end) return gathered({ arena, pieces }, scratch)
    end += piece.length
  }
  return arena.subarray(first, end)
}

const gathered = ({ arena, pieces }: Bundle, scratch: Buffer): Uint8Array => {
  let length = 0
  for (const piece of pieces) {
    scratch.set(arena.subarray(piece.offset, piece.offset + piece.length), length)
    length += piece.length
  }
  return scratch.subarray(0, length)
}

/** The same pieces with offsets within the frame. */
const framed = (pieces: readonly Piece[]): Piece[] => {
  let offset = 0
  return pieces.map((piece) => {
    const at = offset
    offset += piece.length
    return { id: piece.id, offset: at, length: piece.length }
  })
}

type Held = { readonly arena: Buffer; readonly pieces: readonly Piece[] }
type Cut = Pick<ReadFiles, 'pieceCounts' | 'ids' | 'lengths'>

/** Cuts and names: contents of an arena → their pieces. */
const createCutting = (
  setup: SealingSetup,
): ((arena: Buffer, contents: readonly Content[]) => { pieces: readonly Piece[]; cut: Cut }) => {
  const chunker = createChunker(setup.chunkerKey)
  const nameOf = createBlobIds(setup.idKey)
  return (arena, contents) => {
    const pieces: Piece[] = []
    const pieceCounts = new Uint32Array(contents.length)
    for (const [index, content] of contents.entries()) {
      let offset = content.start
      for (const end of cutContent(chunker, content, arena)) {
        pieces.push({ id: nameOf(arena.subarray(offset, end)), offset, length: end - offset })
        pieceCounts[index] = (pieceCounts[index] ?? 0) + 1
        offset = end
      }
    }
    const ids = new Uint8Array(32 * pieces.length)
    for (const [index, piece] of pieces.entries()) ids.set(piece.id, 32 * index)
    const lengths = Uint32Array.from(pieces, (piece) => piece.length)
    return { pieces, cut: { pieceCounts, ids, lengths } }
  }
}

type Writing = { readonly packer: Packer; readonly scratch: Buffer }

const appendFresh = (
  { packer, scratch }: Writing,
  { arena, pieces }: Held,
  fresh: Uint8Array,
  numbers: readonly number[],
): Placed => {
  const unused = [...numbers]
  const places: number[] = []
  for (const bundle of bundlesOf(arena, pieces, fresh)) {
    const inFrame = framed(bundle.pieces)
    const at = packer.append(contentOf(bundle, scratch), inFrame, unused)
    for (const piece of inFrame) places.push(...at, piece.offset)
  }
  return { places: Float64Array.from(places), unused }
}

const appendSegments = (packer: Packer, segments: Segments, numbers: readonly number[]): Placed => {
  const unused = [...numbers]
  const places = segments.flatMap(({ bytes, id }) => {
    const piece = { id, offset: 0, length: bytes.length }
    return [...packer.append(bytes, [piece], unused), 0]
  })
  return { places: Float64Array.from(places), unused }
}

export const createWork = (setup: SealingSetup, world: WorkWorld): Work => {
  const cutting = createCutting(setup)
  const pack = createPacker('pack', setup, world)
  const tree = createPacker('tree', setup, world)
  const scratch = Buffer.allocUnsafeSlow(FRAME_TARGET)
  const free: Buffer[] = []
  const held = new Map<number, Held>()
  let readings = 0
  const seeing = (): Pick<FileReading, 'now' | 'native'> => ({
    now: world.now,
    native: world.native(),
  })
  const arenaOf = (): Buffer => free.pop() ?? Buffer.allocUnsafeSlow(ARENA)
  /** Keeps arena and pieces until it is known which of them are new. */
  const keep = (
    arena: Buffer,
    read: Omit<ReadFiles, keyof Cut | 'next'>,
    contents: readonly Content[],
  ): Read => {
    const { pieces, cut } = cutting(arena, contents)
    readings += 1
    held.set(readings, { arena, pieces })
    return { reading: readings, files: { ...read, ...cut, next: -1 } }
  }
  return {
    files: (paths) => {
      const arena = arenaOf()
      const { contents, ...read } = readWholes(paths, { arena, ...seeing() })
      return keep(arena, read, contents)
    },
    window: (window) => {
      const arena = arenaOf()
      const part = readPart(window, { arena, ...seeing() })
      const { content, positionAfter, ...read } = part
      const { reading, files } = keep(arena, read, content === null ? [] : [content])
      if (content === null || content.reachesEnd) return { reading, files }
      const consumed = files.lengths.reduce((sum, length) => sum + length, 0)
      return { reading, files: { ...files, next: positionAfter(consumed) } }
    },
    place: (reading, fresh, numbers) => {
      const taken = held.get(reading)
      if (taken === undefined) throw fail('INTERNAL_AGENT', { problem: 'an unknown reading' })
      held.delete(reading)
      const placed = appendFresh({ packer: pack, scratch }, taken, fresh, numbers)
      free.push(taken.arena)
      return placed
    },
    segments: (segments, numbers) => appendSegments(tree, segments, numbers),
    flush: (kind) => (kind === 'pack' ? pack : tree).flush(),
  }
}
