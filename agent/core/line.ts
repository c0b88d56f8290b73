/**
 * A line that carries so many bytes a second: each piece is sent when those before it are through. Pure; a token bucket whose
 * bucket holds a tenth of a second, so that nothing goes out in bursts.
 */
import { KiB, MiB, type Ms, SECOND } from '#shared/units.ts'

/** What an idle line makes up for at most. */
const BURST: Ms = SECOND / 10
/** A piece takes about so long: short enough that a new limit is felt at once. */
const PIECE: Ms = SECOND / 20
const SMALLEST = 4 * KiB
const LARGEST = MiB

/** When the line is free again, on the clock that `now` is of. */
export type Line = { readonly free: Ms; readonly rate: number }

export const newLine = (rate: number, now: Ms): Line => ({ free: now - BURST, rate })

/** How many bytes go in one piece. */
export const pieceOf = (rate: number, left: number): number =>
  Math.min(left, Math.max(SMALLEST, Math.min(LARGEST, Math.floor((rate * PIECE) / SECOND))))

/** Takes room for `bytes`: the line after it, and how long to wait before they are sent. */
export const reserve = (line: Line, bytes: number, now: Ms): readonly [Line, Ms] => {
  const start = Math.max(line.free, now - BURST)
  const free = start + (bytes / line.rate) * SECOND
  return [{ ...line, free }, Math.max(0, free - now)]
}
