/** A claimed backup → `backup.start`. */
import { fail } from '#shared/errors.ts'
import { PACK_TARGET } from '#shared/format/pack.ts'
import { type BackupId, parseId, type VaultId } from '#shared/ids.ts'
import { MAX_MESSAGE } from '#shared/protocol/fields.ts'
import type { Orders } from '#shared/protocol/orders.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import { backupRun, type Running } from '../core/backup-machine.ts'
import { asRuns } from '../core/commit.ts'
import type { Link } from '../ports.ts'
import type { RunScope } from '../ports/runs.ts'
import { type AgentParts, freshId } from './agent-parts.ts'
import { prepareVault } from './prepare-vault.ts'
import { inTime, missingLine, spotCheck } from './spot-check.ts'

/** `kept` of `backup.start` holds at most so many runs of sequence numbers. */
const MOST_KEPT_RUNS = 1000

const orderFor = async (
  parts: AgentParts,
  scope: RunScope,
  [run, vault]: readonly [Running, VaultId],
): Promise<Orders['backup.start']> => {
  const { kept, gone, forget, retired, sources, expected, ...briefing } = await parts.runs.brief(
    scope.backup,
    vault,
  )
  return {
    type: 'backup.start',
    id: freshId(parts),
    run: scope.backup,
    epoch: run.epoch,
    lease_seconds: parts.timing.lease / SECOND,
    job: scope.job,
    ...briefing,
    sources: [...sources],
    kept: asRuns(kept, MOST_KEPT_RUNS).map(([first, last]) => [first, last]),
    gone: [...gone],
    ...(forget ? { forget } : {}),
    retired: [...retired],
    pack_bytes: PACK_TARGET,
    ...(expected ? { expected } : {}),
  }
}

const fits = (order: Orders['backup.start']): boolean =>
  Buffer.byteLength(JSON.stringify(order)) <= MAX_MESSAGE

/** The agent is to have its order soon: what takes longer is looked at before the commit. */
const LOOK: Ms = 20 * SECOND

/** What is gone is noted before the run is told what it may count on, and said in its log. */
const lookFirst = async (
  parts: AgentParts,
  scope: RunScope,
  [run, vault, stop]: readonly [Running, VaultId, AbortSignal],
): Promise<void> => {
  const { backup, job, storage } = scope
  const missing = await inTime(parts, [LOOK, stop], async (both) =>
    spotCheck(parts, { vault, job, storage }, both),
  )
  const message = missing === null ? null : missingLine(missing)
  if (message !== null)
    await parts.runs.log(backupRun(backup), run.epoch, [{ level: 'warn', message }])
}

/** An order that does not get through is offered again: on the next connection, or when its lease is over. */
export const offerBackup = async (
  parts: AgentParts,
  link: Link,
  [backup, run, stop]: readonly [BackupId, Running, AbortSignal],
): Promise<void> => {
  const scope = await parts.runs.scope(backup, link.server)
  if (scope === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: backup })
  const { server, storage, key } = scope
  const vault = await prepareVault(parts, scope.organization, { server, storage, key })
  const id = parseId<'vault'>(vault.id, 'vault')
  await lookFirst(parts, scope, [run, id, stop])
  const order = await orderFor(parts, scope, [run, id])
  if (!fits(order))
    throw fail('LIMIT_EXCEEDED', { limit: MAX_MESSAGE, what: 'bytes in the sources of a job' })
  if (link.send(order)) parts.log.info({ backup, server, epoch: run.epoch }, 'a backup was offered')
}
