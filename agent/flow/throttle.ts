/** The limits of this machine, as they were said last: one line up and one down, shared by all runs. */
import { type Limits, type Speeds, speedsAt, UNLIMITED } from '#shared/limits.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import { type Line, newLine, pieceOf, reserve } from '../core/line.ts'
import type { RestoreRunParts } from './restore-run.ts'
import type { Throttle, Throttles } from '../ports/throttle.ts'

export type Throttling = Throttles & {
  /** Other limits, for everything from its next piece on. `ceiling`: what they are never above. */
  set(limits: Limits, ceiling: Speeds): void
}

/** The time of day is looked at this often. */
const LOOK: Ms = SECOND

const lower = (limit: number | null, ceiling: number | null): number | null => {
  if (limit === null || ceiling === null) return limit ?? ceiling
  return Math.min(limit, ceiling)
}

const throttleOf = (clock: Clock, rateNow: () => number | null): Throttle => {
  let line: Line | null = null
  return async (most, stop) => {
    const rate = rateNow()
    if (rate === null || most === 0) return most
    const now = clock.monotonic()
    if (line?.rate !== rate) line = newLine(rate, now)
    const bytes = pieceOf(rate, most)
    const [next, wait] = reserve(line, bytes, now)
    line = next
    if (wait > 0) await clock.sleep(wait, stop)
    return bytes
  }
}

export const createThrottling = (clock: Clock): Throttling => {
  let limits = UNLIMITED
  let ceiling: Speeds = { upload: null, download: null }
  let seen: { readonly at: Ms; readonly speeds: Speeds } | null = null
  const speeds = (): Speeds => {
    const at = clock.monotonic()
    if (seen === null || at - seen.at >= LOOK) {
      const { upload, download } = speedsAt(limits, clock.now())
      const lowered = {
        upload: lower(upload, ceiling.upload),
        download: lower(download, ceiling.download),
      }
      seen = { at, speeds: lowered }
    }
    return seen.speeds
  }
  return {
    set: (next, most) => {
      limits = next
      ceiling = most
      seen = null
    },
    upload: throttleOf(clock, () => speeds().upload),
    download: throttleOf(clock, () => speeds().download),
  }
}

/** Resolves when so many bytes may be fetched. */
const spend = async (throttle: Throttle, bytes: number, stop: AbortSignal): Promise<void> => {
  for (let left = bytes; left > 0;) left -= await throttle(left, stop)
}

type Reading = Pick<RestoreRunParts, 'readOnce' | 'extractors'>

/** The same reads, each begun when there is room for it on the line. */
export const throttledReads = (
  { readOnce, extractors }: Reading,
  download: Throttle,
  stop: AbortSignal,
): Reading => ({
  readOnce: async (place, range, until) => {
    await spend(download, range.end - range.start, stop)
    return readOnce(place, range, until)
  },
  extractors: (idKey, tag) => {
    const own = extractors(idKey, tag)
    return {
      ...own,
      get untidy() {
        return own.untidy ?? false
      },
      run: async (job, again) => {
        const bytes = job.frames.reduce((sum, frame) => sum + frame.length, 0)
        await spend(download, bytes, stop)
        return own.run(job, again)
      },
    }
  },
})
