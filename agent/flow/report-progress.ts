/** How far a run is, told as it goes. */
import { SECOND } from '#shared/units.ts'
import { countsOf, type Tally } from '../core/progress.ts'
import type { RunLink, World } from '../ports.ts'

/** PROTOCOL.md, "progress": at most one a second. */
const REPORT_EVERY = SECOND

type Run = { readonly link: RunLink; readonly tally: Tally; readonly world: World }

/** Tells what has been done whenever it changed, at most once a second. */
export const reportProgress = async (
  { link, tally, world }: Run,
  stop: AbortSignal,
): Promise<void> => {
  let last = ''
  while (!stop.aborted) {
    const body = {
      phase: tally.phase,
      counts: countsOf(tally),
      bytes_source: tally.bytesSource,
      bytes_read: tally.bytesRead,
      bytes_new: tally.bytesNew,
      bytes_stored: tally.bytesStored,
    }
    const text = JSON.stringify(body)
    if (text !== last) link.tell('progress', body)
    last = text
    await world.clock.sleep(REPORT_EVERY, stop).catch(() => undefined)
  }
}
