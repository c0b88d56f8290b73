/** Frames of one object that are read in one go. */
import { SEGMENT } from '#shared/format/age.ts'
import { KiB, MiB } from '#shared/units.ts'

type Frame = { readonly offset: number; readonly length: number }

/**
 * A gap of this size costs as much to read over as another request does. Measured on loopback, client and store on the
 * same two cores: a request takes 1.2 ms, a MiB 4.5 ms. Farther away requests cost more, not less.
 */
const GAP = 256 * KiB
/** Longest read, unless one frame is longer: bounds what a thread holds. */
const RUN = 8 * MiB
/** Gaps never make a read longer than this times the frames in it. */
const WASTE = 1.5

/** Objects are decrypted segment by segment: the first and last one are read whole. */
const down = (offset: number): number => Math.floor(offset / SEGMENT) * SEGMENT
const up = (offset: number): number => Math.ceil(offset / SEGMENT) * SEGMENT

type Run<F> = { readonly frames: F[]; readonly begin: number; end: number; needed: number }

const belongs = ({ begin, end, needed }: Run<Frame>, { offset, length }: Frame): boolean => {
  const stop = up(offset + length)
  if (stop - begin > RUN) return false
  const gap = down(offset) - end
  return gap <= 0 || (gap <= GAP && stop - begin <= WASTE * (needed + length))
}

/** `frames` ascending by offset; each run spans from its first frame to its last. */
export const runsOf = <F extends Frame>(frames: readonly F[]): readonly (readonly F[])[] => {
  const runs: Run<F>[] = []
  for (const frame of frames) {
    const run = runs.at(-1)
    const { offset, length } = frame
    const end = up(offset + length)
    if (run === undefined || !belongs(run, frame)) {
      runs.push({ frames: [frame], begin: down(offset), end, needed: length })
      continue
    }
    run.frames.push(frame)
    run.end = Math.max(run.end, end)
    run.needed += length
  }
  return runs.map((run) => run.frames)
}
