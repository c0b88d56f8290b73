/** Asks for a verification: a row that some replica works on. */
import type { Verification, VerifyInput } from '#shared/api/verifications.ts'
import { fail } from '#shared/errors.ts'
import { makeId, type OpenRequestId, type VerificationId } from '#shared/ids.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { Caller } from '../../core/caller.ts'
import type { OpenRequests } from '../../ports/open-requests.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import type { Verifications } from '../../ports/verifications.ts'
import { found } from '../found.ts'

export type StartVerificationParts = {
  readonly verifications: Verifications
  readonly openRequests: Pick<OpenRequests, 'get'>
  readonly clock: Clock
  readonly random: Random
  wakeWorker(): void
}

/** What the holder of the key does, so that the control plane need not have it. */
const INSTEAD =
  'run "holdfast verify" with --identity where the key is, give an open_request_id of the purpose "verify", or verify at level "full", which needs no key'

/** What would not be looked at is not taken either: whoever gave it believes that it counts. */
const useless = (why: string): Error =>
  fail('VALIDATION_FAILED', { field: 'open_request_id', problem: `is of no use here: ${why}` })

/** One that is not approved yet is waited for. */
const openRequestFor = async (
  { openRequests }: StartVerificationParts,
  [caller, committed]: readonly [Caller, CommittedBackup],
  given: string | undefined,
): Promise<OpenRequestId | null> => {
  if (committed.keyType === 'managed') {
    if (given === undefined) return null
    throw useless('the content opens with a key of the control plane, which asks nobody')
  }
  if (given === undefined)
    throw fail('KEY_REQUIRED', {
      problem: `the content opens with a key of the customer only; ${INSTEAD}`,
    })
  const { id, request } = await found('open request', given, async (one: OpenRequestId) => {
    const row = await openRequests.get(caller, one)
    return row && { id: one, request: row }
  })
  if (request.status === 'expired')
    throw fail('KEY_REQUIRED', { problem: 'the time of the open request is over' })
  const fits =
    request.backup_id === committed.backup &&
    request.purpose === 'verify' &&
    request.opener.type === 'control-plane'
  if (!fits || request.file_count > 0)
    throw fail('VALIDATION_FAILED', {
      field: 'open_request_id',
      problem: 'is not a request of the control plane to verify all of this backup',
    })
  return id
}

/** `OPERATION_IN_PROGRESS` while another one of the backup is not over. */
export const startVerification = async (
  parts: StartVerificationParts,
  [caller, committed]: readonly [Caller, CommittedBackup],
  { level, open_request_id }: VerifyInput,
): Promise<Verification> => {
  if (level !== 'restore' && open_request_id !== undefined)
    throw useless('only the level "restore" opens content')
  const openRequest =
    level === 'restore' ? await openRequestFor(parts, [caller, committed], open_request_id) : null
  const id = makeId<'verification'>(parts.clock.now(), parts.random(10))
  const running = await parts.verifications.add(caller, { id, of: committed, level, openRequest })
  if (running !== null)
    throw fail('OPERATION_IN_PROGRESS', {
      operation: 'verification',
      resource: 'backup',
      id: running,
      backup_id: committed.backup,
    })
  parts.wakeWorker()
  return found('verification', id, async (one: VerificationId) =>
    parts.verifications.get(caller, one),
  )
}
