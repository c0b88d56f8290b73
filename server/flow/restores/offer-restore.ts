/** A claimed restore → `restore.start`: what the agent verifies with, and what opens the record for it. */
import { fail } from '#shared/errors.ts'
import { openHeader } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import type { RestoreId } from '#shared/ids.ts'
import { sealedFor } from '#shared/protocol/open-request.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { sealerTo } from '#shared/seal.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Running } from '../../core/backup-machine.ts'
import type { Link } from '../../ports.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import type { RestoreScope } from '../../ports/restores.ts'
import { type AgentParts, freshId } from '../agent-parts.ts'
import { idKeyOf } from '../read-backup.ts'
import { signedGet } from '../signed-get.ts'
import { committedOf } from './restore-scope.ts'

/** Within its first lease the agent must get the order, and answer it. */
const LIMIT: Ms = 20 * SECOND

type Seal = (plaintext: Uint8Array, purpose: string) => Uint8Array

const expired = (): Error =>
  fail('KEY_REQUIRED', { problem: 'the open request is not approved, or its time is over' })

/** The vault's id key for the agent: opened here with a managed key, else as the holder of the key has sealed it. */
const sealedIdKey = async (
  parts: AgentParts,
  [scope, committed, seal]: readonly [RestoreScope, CommittedBackup, Seal],
  stop: AbortSignal,
): Promise<Uint8Array> => {
  if (scope.openRequest === null) {
    const idKey = await idKeyOf(parts, committed, stop)
    return seal(idKey, sealedFor.idKey(scope.restore))
  }
  const approval = await parts.openRequests.approval(scope.openRequest)
  if (approval === null) throw expired()
  if (!Buffer.from(approval.openerKey).equals(scope.boxKey ?? new Uint8Array()))
    throw fail('KEY_REQUIRED', {
      problem: 'the agent was enrolled anew after the open request was made for it',
    })
  return approval.sealedIdKey
}

const orderFor = async (
  parts: AgentParts,
  [scope, run]: readonly [RestoreScope, Running],
  stop: AbortSignal,
): Promise<RestoreStart> => {
  const committed = await committedOf(parts, scope)
  if (scope.boxKey === null)
    throw fail('INVALID_STATE', { resource: 'The server', status: 'not enrolled' })
  const opening = scope.openRequest ?? scope.restore
  const seal = sealerTo(scope.boxKey, parts.random(32))
  const { record, signers } = committed
  const { list } = await parts.identities(committed.vault)
  const store = await parts.stores.open(committed.storage)
  const recordKey = record.fileKey ?? openHeader(record.header, [list], `the object ${record.key}`)
  const idKey = await sealedIdKey(parts, [scope, committed, seal], stop)
  return {
    type: 'restore.start',
    id: freshId(parts),
    run: scope.restore,
    epoch: run.epoch,
    lease_seconds: parts.timing.lease / SECOND,
    backup: scope.backup,
    backup_name: scope.backupName,
    job_name: scope.jobName,
    vault: committed.vault,
    signers: signers.map(toBase64url),
    record: {
      key: record.key,
      size: record.size,
      sha256: record.sha256,
      ...signedGet(parts, store, record.key),
      sealed_file_key: toBase64url(seal(recordKey, sealedFor.record(opening))),
    },
    opening,
    sealed_id_key: toBase64url(idKey),
    selection_pages: scope.selectionPages,
    target: scope.target,
    conflict: scope.conflict,
  }
}

/** An order that does not get through is offered again: on the next connection, or when its lease is over. */
export const offerRestore = async (
  parts: AgentParts,
  [link, restore, run]: readonly [Link, RestoreId, Running],
  stop: AbortSignal,
): Promise<void> => {
  const scope = await parts.restores.scope(restore, link.server)
  if (scope === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'restore', id: restore })
  const done = new AbortController()
  const late = new AbortController()
  const problem = 'it took too long'
  void parts.clock.sleep(LIMIT, done.signal).then(
    () => late.abort(fail('STORAGE_UNAVAILABLE', { storage: '', verb: 'read', problem })),
    () => undefined,
  )
  try {
    const order = await orderFor(parts, [scope, run], AbortSignal.any([stop, late.signal]))
    if (link.send(order))
      parts.log.info({ restore, server: link.server, epoch: run.epoch }, 'a restore was offered')
  } finally {
    done.abort()
  }
}
