/** How far a run is, told as it goes. */
import { type Estimate, follow, newCourse } from '#shared/estimate.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { SECOND } from '#shared/units.ts'
import { countsOf, sampleOf, type Tally } from '../core/progress.ts'
import type { Body, RunLink, World } from '../ports.ts'

/** PROTOCOL.md, "progress": at most one a second. */
const REPORT_EVERY = SECOND

type Said = NonNullable<Body<'progress'>['estimate']>

type Run = {
  readonly link: RunLink
  readonly tally: Tally
  readonly world: World
  readonly order: Pick<BackupStart, 'expected'>
}

const shownOf = ({ share, rate, left, revisions }: Estimate): Said => ({
  share: share === null ? null : Math.floor(share * 1000) / 1000,
  rate,
  left: left === null ? null : [Math.floor(left.least), Math.ceil(left.most)],
  revisions,
})

/** Tells what has been done whenever it changed, at most once a second. */
export const reportProgress = async (
  { link, tally, world, order }: Run,
  stop: AbortSignal,
): Promise<void> => {
  let last = ''
  const { clock } = world
  let course = newCourse(clock.monotonic())
  while (!stop.aborted) {
    const sample = sampleOf(tally, clock.monotonic(), order.expected ?? null)
    const [next, estimate] = follow(course, sample)
    course = next
    const body = {
      phase: tally.phase,
      counts: countsOf(tally),
      bytes_source: tally.bytesSource,
      bytes_read: tally.bytesRead,
      bytes_new: tally.bytesNew,
      bytes_stored: tally.bytesStored,
      estimate: shownOf(estimate),
    }
    const text = JSON.stringify(body)
    if (text !== last) link.tell('progress', body)
    last = text
    await clock.sleep(REPORT_EVERY, stop).catch(() => undefined)
  }
}
