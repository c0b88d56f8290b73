/** A file with its holes filled, from its content without them. Pure. */
import type { Entry } from '#shared/format/tree.ts'
import { KiB } from '#shared/units.ts'

/** Handed out over and over: whoever gets it must not write into it. */
const ZEROS = new Uint8Array(64 * KiB)

export type Filler = {
  /** The bytes, and the holes between them. */
  push(bytes: Uint8Array): Iterable<Uint8Array>
  /** The hole at the end, if there is one. */
  end(): Iterable<Uint8Array>
}

function* zeros(length: number): Generator<Uint8Array, void, void> {
  for (let left = length; left > 0; left -= ZEROS.length)
    yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS
}

export const createFiller = ({ holes = [] }: Pick<Entry, 'holes'>): Filler => {
  let next = 0
  let at = 0
  function* fillHere(): Generator<Uint8Array, void, void> {
    for (let hole = holes[next]; hole !== undefined && hole[0] === at; hole = holes[next]) {
      next += 1
      at += hole[1]
      yield* zeros(hole[1])
    }
  }
  return {
    push: function* (bytes) {
      for (let from = 0; from < bytes.length;) {
        yield* fillHere()
        const room = (holes[next]?.[0] ?? Infinity) - at
        const part = bytes.subarray(from, Math.min(bytes.length, from + room))
        from += part.length
        at += part.length
        yield part
      }
    },
    end: fillHere,
  }
}
