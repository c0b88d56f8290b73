/** What the control plane itself works on beside the agents: downloads that it prepares. */
import { SECOND } from '#shared/units.ts'
import { prepareDownload, type PrepareParts } from '../flow/downloads/prepare-download.ts'
import { removeDownloads, type RemoveParts } from '../flow/downloads/remove-downloads.ts'
import type { TaskWorld } from '../flow/tasks/run-task.ts'
import { loopOf, startWorker, type Worker } from './worker.ts'

export type OwnWorkParts = PrepareParts & RemoveParts & TaskWorld

/** Each takes some 100 MiB at most. */
const DOWNLOADS = 3

export const startOwnWork = (parts: OwnWorkParts): Worker =>
  startWorker(
    parts,
    [
      loopOf({
        name: 'prepare downloads',
        tasks: parts.downloads,
        work: prepareDownload(parts),
        most: DOWNLOADS,
      }),
    ],
    [
      {
        name: 'remove downloads',
        every: 5 * SECOND,
        sweep: async (stop) => removeDownloads(parts, stop),
      },
    ],
  )
