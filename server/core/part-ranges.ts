/** Frames that are wanted of an object → the ranges of its bytes to read, as few as is sensible. Pure. */
import { segmentRange } from '#shared/format/age.ts'
import { KiB } from '#shared/units.ts'

/** Offset and length of frames in the plaintext. */
export type Frames = ReadonlyMap<number, number>
export type ByteRange = [start: number, end: number]

/** What lies between two ranges is read with them when it is less than a request costs. */
const GAP = 256 * KiB
/** With more of them, all of the object is one. */
const MOST = 64

/**
 * Half-open, ascending, apart by more than a gap. `DAMAGED` where a frame lies outside of the object. Without the length
 * of age header and nonce nothing is known of where frames lie: all of it then.
 */
export const rangesOf = (
  frames: Frames,
  { size, preamble }: { readonly size: number; readonly preamble: number | null },
): ByteRange[] => {
  if (preamble === null) return [[0, size]]
  const ranges: ByteRange[] = []
  const ascending = [...frames].sort(([a], [b]) => a - b)
  for (const [offset, length] of ascending) {
    const { start, end } = segmentRange({ start: offset, end: offset + length }, preamble, size)
    const last = ranges.at(-1)
    if (last !== undefined && start - last[1] <= GAP) last[1] = Math.max(last[1], end)
    else ranges.push([start, end])
  }
  return ranges.length > MOST ? [[0, size]] : ranges
}
