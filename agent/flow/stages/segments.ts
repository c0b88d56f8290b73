/** Segments of trees, content lists and indexes: one that the vault holds already is not written again. */
import { toBase64url } from '#shared/format/bytes.ts'
import type { Locator } from '#shared/format/locator.ts'
import { fail } from '#shared/errors.ts'
import { numbersFor, type Placed } from '../../core/sealing.ts'
import type { Sealing } from '../../ports.ts'
import { createBatcher } from '../batcher.ts'
import { createGate } from '../gate.ts'
import type { Known } from '../known.ts'
import type { Numbers } from '../numbers.ts'

export type SegmentBytes = { readonly bytes: Uint8Array; readonly sha256: Uint8Array }

export type Segments = {
  /** Where the segment lies, once it is in a pack. */
  put(segment: SegmentBytes): Promise<Locator>
  /** Resolves when few enough are on their way. */
  readonly room: () => Promise<void>
}

/** Segments have about 1 MiB at most, so these stay below the memory that `numbersFor` counts with. */
const TOGETHER = 6
const WAITING = 24

export type SegmentParts = {
  readonly sealing: Sealing
  readonly known: Known
  readonly numbers: Numbers
  readonly packBytes: number
}

/** The `index`-th place of an answer. */
export const placeAt = (
  { places }: Placed,
  index: number,
): { pack: number; frameOffset: number; frameLength: number; offset: number } => {
  const at = 4 * index
  const [pack, frameOffset, frameLength, offset] = places.subarray(at, at + 4)
  if (pack === undefined || frameOffset === undefined || frameLength === undefined)
    throw fail('INTERNAL_AGENT', { problem: 'a place is missing' })
  return { pack, frameOffset, frameLength, offset: offset ?? 0 }
}

export const createSegments = (parts: SegmentParts, stop: AbortSignal): Segments => {
  const { sealing, known, numbers } = parts
  const gate = createGate(WAITING)
  stop.addEventListener('abort', () => gate.break(stop.reason))
  const coming = new Map<string, Promise<Locator>>()
  const batcher = createBatcher<SegmentBytes, Locator>(TOGETHER, async (segments) => {
    const given = await numbers.take(numbersFor(parts.packBytes))
    const items = segments.map(({ bytes, sha256 }) => ({ bytes, id: sha256 }))
    const placed = await sealing.segments(items, given)
    numbers.give(placed.unused)
    return segments.map(({ bytes, sha256 }, index) => {
      const place = { ...placeAt(placed, index), length: bytes.length }
      known.add(sha256, 0, place)
      const { pack, frameOffset, frameLength, offset, length } = place
      return [pack, frameOffset, frameLength, offset, length, toBase64url(sha256)]
    })
  })
  const write = async (id: string, segment: SegmentBytes): Promise<Locator> => {
    await gate.enter()
    try {
      return await batcher.add(segment)
    } finally {
      gate.leave()
      coming.delete(id)
    }
  }
  return {
    put: async (segment) => {
      const there = known.locate(segment.sha256, 0)
      if (there !== null) return there
      const id = toBase64url(segment.sha256)
      const promise = coming.get(id) ?? write(id, segment)
      coming.set(id, promise)
      return await promise
    },
    room: async () => await gate.room(),
  }
}
