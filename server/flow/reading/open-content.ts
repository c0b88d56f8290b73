/** A committed backup whose content can be read: by a managed key, or by what the holder of a customer's key has opened. */
import { type Backoff, chanceFrom, delayOf } from '#shared/backoff.ts'
import { fail } from '#shared/errors.ts'
import { createBlobIds } from '#shared/format/blob-id.ts'
import type { BackupId, OpenRequestId, OrgId } from '#shared/ids.ts'
import { openIdKey, openWithSealed } from '#shared/read/handed.ts'
import { SECOND } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { OpenRequests } from '../../ports/open-requests.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import {
  idKeyOf,
  type OpenPack,
  readBackup,
  type ReadBackup,
  type ReadBackupParts,
  type ReadHow,
  type WaitOut,
} from '../read-backup.ts'
import type { Pieces } from './read-pieces.ts'

export type OpenParts = ReadBackupParts & {
  readonly openRequests: Pick<OpenRequests, 'approval' | 'sealedKeys' | 'openerSecret'>
  readonly clock: Clock
  readonly random: Random
}

export type Opened = Pieces & { readonly backup: ReadBackup }

/** Keys that the holder of a customer's key has given to the control plane itself. */
const openedByRequest = async (
  { openRequests }: OpenParts,
  [committed, request]: readonly [CommittedBackup, OpenRequestId],
): Promise<{ readonly openPack: OpenPack; readonly idKey: Uint8Array }> => {
  const approval = await openRequests.approval(request, { forRun: true })
  const secret = await openRequests.openerSecret(request)
  if (approval?.backup !== committed.backup || secret === null)
    throw fail('KEY_REQUIRED', { problem: 'the open request is not approved, or not for this' })
  const opener = { secret, opening: request }
  return {
    idKey: openIdKey(opener, approval.sealedIdKey),
    openPack: async (preamble, { pack, key }) => {
      const sealed = (await openRequests.sealedKeys(request, [pack])).get(pack)
      if (sealed === undefined)
        throw fail('KEY_REQUIRED', { problem: `the open request does not open ${key}` })
      return openWithSealed(opener, { what: pack, sealed }, preamble)
    },
  }
}

const AGAIN: Backoff = { first: SECOND, most: 30 * SECOND }
/** A storage that is away for longer than a minute or two is away for the whole task. */
const MOST_WAITS = 7

export const waiter =
  ({ clock, random }: Pick<OpenParts, 'clock' | 'random'>, stop: AbortSignal): WaitOut =>
  async (failure, attempt) => {
    if (attempt > MOST_WAITS) throw failure
    await clock.sleep(delayOf(AGAIN, attempt, chanceFrom(random)), stop)
  }

export type OpenHow = Pick<ReadHow, 'stop' | 'headers' | 'spend'>

/** By the managed identity, or by an approved request. `KEY_REQUIRED` where neither opens the vault. */
export const openContent = async (
  parts: OpenParts,
  [committed, request]: readonly [CommittedBackup, OpenRequestId | null],
  given: OpenHow,
): Promise<Opened> => {
  const how = { ...given, waitOut: waiter(parts, given.stop) }
  if (request === null) {
    const idOf = createBlobIds(await idKeyOf(parts, committed, how.stop))
    return { backup: await readBackup(parts, committed, how), idOf }
  }
  const { openPack, idKey } = await openedByRequest(parts, [committed, request])
  const backup = await readBackup(parts, committed, { ...how, openPack })
  return { backup, idOf: createBlobIds(idKey) }
}

/** The backup that a task is about. */
export const committedFor = async (
  { reading }: Pick<OpenParts, 'reading'>,
  { organization, backup }: { readonly organization: OrgId; readonly backup: BackupId },
): Promise<CommittedBackup> => {
  const committed = await reading.committed({ organization, project: null }, backup)
  if (committed === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: backup })
  return committed
}
