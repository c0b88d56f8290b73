/** What the control plane itself works on beside the agents: downloads that it prepares, verifications, collection of what nothing needs. */
import { SECOND } from '#shared/units.ts'
import { collectGarbage, type CollectParts } from '../flow/deletion/collect.ts'
import { prepareDownload, type PrepareParts } from '../flow/downloads/prepare-download.ts'
import { removeDownloads, type RemoveParts } from '../flow/downloads/remove-downloads.ts'
import { verifyRestore, type VerifyParts } from '../flow/verifications/verify-restore.ts'
import type { TaskWorld } from '../flow/tasks/run-task.ts'
import { loopOf, startWorker, type Worker } from './worker.ts'

export type OwnWorkParts = PrepareParts & RemoveParts & VerifyParts & CollectParts & TaskWorld

/** Each takes some 100 MiB at most. */
const DOWNLOADS = 3
/** Nobody waits for it as for a download; some 200 MiB. */
const VERIFICATIONS = 1
/** Nobody waits for them at all. */
const COLLECTIONS = 1

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
      loopOf({
        name: 'verify backups',
        tasks: parts.verifications,
        work: verifyRestore(parts),
        most: VERIFICATIONS,
      }),
      loopOf({
        name: 'collect vaults',
        tasks: parts.collections,
        work: collectGarbage(parts),
        most: COLLECTIONS,
      }),
    ],
    [
      {
        name: 'remove downloads',
        every: 5 * SECOND,
        sweep: async (stop) => removeDownloads(parts, stop),
      },
      {
        name: 'end verifications that were not opened',
        every: 15 * SECOND,
        sweep: async () => parts.verifications.expire(),
      },
    ],
  )
