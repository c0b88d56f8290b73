/** Frames of one object that are read in one go. */
import { KiB, MiB } from '#shared/units.ts'

type Frame = { readonly offset: number; readonly length: number }

/** A gap costs less to read over than another request does. */
const GAP = 128 * KiB
/** Longest read, unless one frame is longer: bounds what a thread holds. */
const RUN = 8 * MiB

/** `frames` ascending by offset; each run spans from its first frame to its last. */
export const runsOf = <F extends Frame>(frames: readonly F[]): readonly (readonly F[])[] => {
  const runs: F[][] = []
  let begin = 0
  let end = -Infinity
  for (const frame of frames) {
    const stop = frame.offset + frame.length
    if (frame.offset - end <= GAP && stop - begin <= RUN) runs.at(-1)?.push(frame)
    else {
      runs.push([frame])
      begin = frame.offset
    }
    end = stop
  }
  return runs
}
