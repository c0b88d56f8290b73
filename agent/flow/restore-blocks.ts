/**
 * Plaintext of objects by ranges. An object is decrypted 64 KiB at a time, so that neighbours share the block where one
 * ends and the other begins: such a block is fetched once.
 */
import { openSegments, SEGMENT, segmentRange } from '#shared/format/age.ts'
import { concat } from '#shared/format/bytes.ts'
import type { OpenedObject } from '#shared/read/access.ts'
import { createRecent } from '#shared/read/recent.ts'

export type Blocks = {
  plain(object: OpenedObject, start: number, end: number): Promise<Uint8Array>
}

type Read = (object: OpenedObject, start: number, end: number) => Promise<Uint8Array>

/** Blocks remembered: 4 MiB. */
const REMEMBERED = 64

type Block = Promise<Uint8Array>

export const createBlocks = (read: Read): Blocks => {
  const known = createRecent<Block>(REMEMBERED)
  const nameOf = ({ key }: OpenedObject, block: number): string => `${key} ${String(block)}`

  /** Blocks `first` to `last`, of which none is known. */
  const fetch = async (object: OpenedObject, first: number, last: number): Promise<Uint8Array> => {
    const { payloadKey, preambleLength, size } = object
    const wanted = { start: first * SEGMENT, end: last * SEGMENT + 1 }
    const range = segmentRange(wanted, preambleLength, size)
    const whole = read(object, range.start, range.end).then((sealed) =>
      openSegments(payloadKey, sealed, range.firstSegment, range.isLast),
    )
    const share = (block: number): void => {
      const at = (block - first) * SEGMENT
      const name = nameOf(object, block)
      // A copy: a view would keep all of it.
      const one = whole.then((plain) => Uint8Array.from(plain.subarray(at, at + SEGMENT)))
      known.set(name, one)
      one.catch(() => known.delete(name))
    }
    share(first)
    if (last > first) share(last)
    return whole
  }

  return {
    plain: async (object, start, end) => {
      let first = Math.floor(start / SEGMENT)
      let last = Math.max(first, Math.ceil(end / SEGMENT) - 1)
      const offset = first * SEGMENT
      const head = known.get(nameOf(object, first))
      if (head !== undefined) first += 1
      const tail = first <= last ? known.get(nameOf(object, last)) : undefined
      if (tail !== undefined) last -= 1
      const parts = [
        ...(head === undefined ? [] : [head]),
        ...(first <= last ? [fetch(object, first, last)] : []),
        ...(tail === undefined ? [] : [tail]),
      ]
      const plain = parts.length === 1 ? await parts[0] : concat(await Promise.all(parts))
      return (plain ?? new Uint8Array()).subarray(start - offset, end - offset)
    },
  }
}
