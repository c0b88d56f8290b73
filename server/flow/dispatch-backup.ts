/** Pending backups of connected servers → `backup.start`. Any number of replicas may do this at once. */
import { fail, Failure } from '#shared/errors.ts'
import { PACK_TARGET } from '#shared/format/pack.ts'
import { parseId, type VaultId } from '#shared/ids.ts'
import { MAX_MESSAGE } from '#shared/protocol/fields.ts'
import type { Orders } from '#shared/protocol/orders.ts'
import { SECOND } from '#shared/units.ts'
import { type Running, step } from '../core/backup-machine.ts'
import { asRuns } from '../core/commit.ts'
import type { Held, Link, RunScope } from '../ports.ts'
import { type AgentParts, changeRun, freshId, isRefusal, problemFor } from './agent-parts.ts'
import { prepareVault } from './prepare-vault.ts'

/** Runs that one sweep takes: the rest is taken by the next, or by another replica. */
const AT_ONCE = 20
/** `kept` of `backup.start` holds at most so many runs of sequence numbers. */
const MOST_KEPT_RUNS = 1000

const orderFor = async (
  parts: AgentParts,
  scope: RunScope,
  [run, vault]: readonly [Running, VaultId],
): Promise<Orders['backup.start']> => {
  const { kept, gone, sources, ...briefing } = await parts.runs.brief(scope.backup, vault)
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
    pack_bytes: PACK_TARGET,
  }
}

const fits = (order: Orders['backup.start']): boolean =>
  Buffer.byteLength(JSON.stringify(order)) <= MAX_MESSAGE

const offer = async (parts: AgentParts, link: Link, { backup, run }: Held): Promise<void> => {
  if (run.at !== 'running') return
  const scope = await parts.runs.scope(backup, link.server)
  if (scope === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: backup })
  const { server, storage, key } = scope
  const vault = await prepareVault(parts, scope.organization, { server, storage, key })
  const order = await orderFor(parts, scope, [run, parseId(vault.id, 'vault')])
  if (!fits(order))
    throw fail('LIMIT_EXCEEDED', { limit: MAX_MESSAGE, what: 'bytes in the sources of a job' })
  // An order that does not get through is offered again: on the next connection, or when its lease is over.
  if (link.send(order)) parts.log.info({ backup, server, epoch: run.epoch }, 'a backup was offered')
}

/** What cannot be offered now is offered again later; what never can fails with the reason. */
const giveUp = async (parts: AgentParts, { backup, run }: Held, error: unknown): Promise<void> => {
  const problem = problemFor(error)
  parts.log.error({ backup, code: problem.code, problem: problem.message }, 'cannot offer a backup')
  if (!(error instanceof Failure) || !isRefusal(error)) return
  const { code, message } = error
  await changeRun(parts, backup, (now) =>
    step(now, { kind: 'refused', epoch: run.epoch, problem: { code, message } }),
  )
}

/** Offers what waits for the servers that are connected here, and says how many it took. */
export const dispatchBackups = async (parts: AgentParts): Promise<number> => {
  const links = parts.links.all()
  const { lease, longestRun } = parts.timing
  const held = await parts.runs.claim(links, AT_ONCE, (run, link, now) =>
    step(run, {
      kind: 'dispatched',
      lease: { link: link.joins, until: now + lease },
      deadline: now + longestRun,
    }),
  )
  for (const one of held) {
    const link = one.link
    try {
      await offer(parts, link, one)
    } catch (error) {
      await giveUp(parts, one, error)
    }
  }
  return held.length
}
