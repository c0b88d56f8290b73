/**
 * What a sealing thread does, without the thread: read files, cut, name, compress, pack, seal. FORMAT.md, "Content".
 * One instance owns one open pack of each kind; nothing in it waits, so calls never overlap.
 */
import { createBlobIds, WHOLE_LIMIT } from '#shared/format/blob-id.ts'
import { createChunker, MAX_CHUNK, type Chunker } from '#shared/format/chunker.ts'
import { FRAME_TARGET, frameOf, MAX_PIECES } from '#shared/format/frame.ts'
import { parseRecipient } from '#shared/format/keys.ts'
import { createPackWriter, type PackWriter, type Piece } from '#shared/format/pack.ts'
import type { Bytes } from '#shared/format/tree-order.ts'
import { fail } from '#shared/errors.ts'
import type { Random } from '#shared/world.ts'
import { sealObject } from '../core/seal-object.ts'
import { ARENA, type Placed, type ReadFiles, type Sealed } from '../core/sealing.ts'
import type { SealingSetup, Segments, Window } from '../ports.ts'
import { readPart, readWholes, type Content } from './read-files.ts'

export type Work = {
  files(paths: readonly Bytes[]): { readonly reading: number; readonly files: ReadFiles }
  window(window: Window): { readonly reading: number; readonly files: ReadFiles }
  place(reading: number, fresh: Uint8Array, numbers: readonly number[]): Placed
  segments(segments: Segments, numbers: readonly number[]): Placed
  flush(kind: 'pack' | 'tree'): void
}

export type WorkWorld = {
  readonly random: Random
  readonly now: () => number
  readonly onSealed: (sealed: Sealed) => void
}

/** Cuts a file's content, which lies at `[start, end)` of the arena; `whole` when its end is the file's. */
const cutContent = (chunker: Chunker, content: Content, arena: Uint8Array): number[] => {
  const { start, end } = content
  if (content.isWholeFile && end - start <= WHOLE_LIMIT) return end > start ? [end] : []
  const cuts: number[] = []
  for (let at = start; at < end;) {
    if (!content.reachesEnd && end - at < MAX_CHUNK) break
    at = chunker.cut(arena, at, end)
    cuts.push(at)
  }
  return cuts
}

type Bundle = { readonly arena: Uint8Array; readonly pieces: readonly Piece[] }

/** Open pack of one kind: appends frames, seals when full. */
type Packer = {
  append(content: Uint8Array, pieces: readonly Piece[], numbers: number[]): [number, number, number]
  flush(): void
}

const createPacker = (kind: 'pack' | 'tree', setup: SealingSetup, world: WorkWorld): Packer => {
  const recipients = setup[kind].map(parseRecipient)
  let writer: PackWriter | null = null
  let no = 0
  const flush = (): void => {
    if (writer === null || no === 0) return
    const sealed = sealObject(writer.finish(), recipients, world.random)
    world.onSealed({ kind, no, ...sealed })
    writer.reset()
    no = 0
  }
  return {
    append: (content, pieces, numbers) => {
      // The writer's memory is taken only by threads that write packs of this kind.
      writer ??= createPackWriter({ target: setup.packBytes })
      if (no === 0) no = numbers.shift() ?? 0
      if (no === 0) throw fail('INTERNAL_AGENT', { problem: 'no pack number was at hand' })
      const frame = frameOf(content)
      const place: [number, number, number] = [no, writer.add(frame, pieces), frame.length]
      if (writer.full) flush()
      return place
    },
    flush,
  }
}

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

/** The content of a bundle in one run: where its pieces are neighbours in the arena already, without a copy. */
const contentOf = ({ arena, pieces }: Bundle): Uint8Array => {
  const first = pieces[0]?.offset ?? 0
  let end = first
  for (const piece of pieces) {
    if (piece.offset !== end)
      return Buffer.concat(pieces.map((p) => arena.subarray(p.offset, p.offset + p.length)))
    end += piece.length
  }
  return arena.subarray(first, end)
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

export const createWork = (setup: SealingSetup, world: WorkWorld): Work => {
  const chunker = createChunker(setup.chunkerKey)
  const nameOf = createBlobIds(setup.idKey)
  const packers = {
    pack: createPacker('pack', setup, world),
    tree: createPacker('tree', setup, world),
  }
  const free: Buffer[] = []
  const held = new Map<number, Held>()
  let readings = 0

  const cutAll = (arena: Buffer, contents: readonly Content[]): [Piece[], Uint32Array] => {
    const pieces: Piece[] = []
    const counts = new Uint32Array(contents.length)
    for (const [index, content] of contents.entries()) {
      let offset = content.start
      for (const cut of cutContent(chunker, content, arena)) {
        pieces.push({ id: nameOf(arena.subarray(offset, cut)), offset, length: cut - offset })
        counts[index] = (counts[index] ?? 0) + 1
        offset = cut
      }
    }
    return [pieces, counts]
  }

  const keep = (
    arena: Buffer,
    read: Omit<ReadFiles, 'pieceCounts' | 'ids' | 'lengths' | 'next'>,
    contents: readonly Content[],
  ): { reading: number; files: ReadFiles } => {
    const [pieces, pieceCounts] = cutAll(arena, contents)
    const ids = new Uint8Array(32 * pieces.length)
    const lengths = new Uint32Array(pieces.length)
    for (const [index, piece] of pieces.entries()) {
      ids.set(piece.id, 32 * index)
      lengths[index] = piece.length
    }
    readings += 1
    held.set(readings, { arena, pieces })
    return { reading: readings, files: { ...read, pieceCounts, ids, lengths, next: -1 } }
  }

  const arenaOf = (): Buffer => free.pop() ?? Buffer.allocUnsafeSlow(ARENA)

  return {
    files: (paths) => {
      const arena = arenaOf()
      const { contents, ...read } = readWholes(paths, arena, world.now)
      return keep(arena, read, contents)
    },
    window: (window) => {
      const arena = arenaOf()
      const { content, ...read } = readPart(window, { arena, now: world.now })
      const { reading, files } = keep(arena, read, content === null ? [] : [content])
      if (content === null || content.reachesEnd) return { reading, files }
      const consumed = files.lengths.reduce((sum, length) => sum + length, 0)
      return { reading, files: { ...files, next: window.from + consumed } }
    },
    place: (reading, fresh, numbers) => {
      const taken = held.get(reading)
      if (taken === undefined) throw fail('INTERNAL_AGENT', { problem: 'an unknown reading' })
      held.delete(reading)
      const left = [...numbers]
      const places: number[] = []
      for (const bundle of bundlesOf(taken.arena, taken.pieces, fresh)) {
        const pieces = framed(bundle.pieces)
        const at = packers.pack.append(contentOf(bundle), pieces, left)
        for (const piece of pieces) places.push(...at, piece.offset)
      }
      free.push(taken.arena)
      return { places: Float64Array.from(places), unused: left }
    },
    segments: (segments, numbers) => {
      const left = [...numbers]
      const places = segments.flatMap(({ bytes, id }) => {
        const piece = { id, offset: 0, length: bytes.length }
        return [...packers.tree.append(bytes, [piece], left), 0]
      })
      return { places: Float64Array.from(places), unused: left }
    },
    flush: (kind) => packers[kind].flush(),
  }
}
