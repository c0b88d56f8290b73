/** What the control plane itself works on beside the agents: downloads that it prepares, verifications, collection of what nothing needs. */
import { SECOND } from '#shared/units.ts'
import { collectGarbage, type CollectParts } from '../flow/deletion/collect.ts'
import { prepareDownload, type PrepareParts } from '../flow/downloads/prepare-download.ts'
import { removeDownloads, type RemoveParts } from '../flow/downloads/remove-downloads.ts'
import { createPace } from '../flow/verifications/pace.ts'
import { verifyObjects } from '../flow/verifications/verify-objects.ts'
import { verifyRestore } from '../flow/verifications/verify-restore.ts'
import type { VerifyWork, WorkParts } from '../flow/verifications/turn.ts'
import type { TaskWorld } from '../flow/tasks/run-task.ts'
import { loopOf, startWorker, type Worker } from './worker.ts'

export type OwnWorkParts = PrepareParts &
  RemoveParts &
  CollectParts &
  Omit<WorkParts, 'pace'> &
  TaskWorld & {
    /** Bytes a second that verifications may read here, all together; null: as fast as it goes. */
    readonly verifyRate: number | null
  }

/** Each takes some 100 MiB at most. */
const DOWNLOADS = 3
/** Some 200 MiB each at most. They take turns, so that a large one does not hold up those that wait. */
const VERIFICATIONS = 2
/** What storages have planned, looked at together. */
const PLANS = 100
/** Nobody waits for them at all. */
const COLLECTIONS = 1

const verify = (parts: OwnWorkParts): VerifyWork => {
  const paced = { ...parts, pace: createPace(parts.clock, parts.verifyRate) }
  const restore = verifyRestore(paced)
  const objects = verifyObjects(paced)
  return async (claim, how) => (claim.job.level === 'restore' ? restore : objects)(claim, how)
}

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
        work: verify(parts),
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
      {
        name: 'begin planned verifications',
        every: 15 * SECOND,
        sweep: async () => parts.verifications.startDue(PLANS),
      },
    ],
  )
