/** The agent of a server is not trusted any more: its key, its connections and what it was at are worth nothing. */
import { describe } from '#shared/errors.ts'
import type { Server } from '#shared/api/servers.ts'
import type { ServerId } from '#shared/ids.ts'
import { SECOND } from '#shared/units.ts'
import { step } from '../core/backup-machine.ts'
import type { Caller } from '../core/caller.ts'
import type { Servers } from '../ports.ts'
import { type AgentParts, changeRun } from './agent-parts.ts'
import { dropRecords } from './drop-records.ts'
import { found, foundId } from './found.ts'

export type EndServerParts = {
  readonly servers: Servers
  readonly agents: Pick<
    AgentParts,
    'runs' | 'links' | 'wakeups' | 'objects' | 'stores' | 'log' | 'clock' | 'random'
  >
}

const TIDY = 60 * SECOND

/** What waits may go on waiting: for another agent. */
const failRuns = async ({ agents }: EndServerParts, server: ServerId): Promise<void> => {
  const problem = { code: 'AGENT_REVOKED', message: describe('AGENT_REVOKED', { server }) }
  for (const { of, run } of await agents.runs.heldBy(server, [])) {
    const settled = await changeRun(agents, of, (now) =>
      step(now, { kind: 'ended', epoch: run.epoch, status: 'failed', problem }),
    )
    if (settled?.verdict !== 'changed' || of.kind !== 'backup') continue
    const scope = await agents.runs.scope(of.id, server)
    // Nobody waits for the storage here; what stays there is garbage.
    if (scope !== null) void dropRecords(agents, scope, AbortSignal.timeout(TIDY))
  }
}

/** Here at once; other replicas hear that there is a newer connection, and close theirs. */
const cutOff = async (parts: EndServerParts, server: ServerId, joins: number): Promise<void> => {
  parts.agents.links.get(server)?.close('superseded', 'this server was revoked')
  await parts.agents.wakeups.superseded(server, joins)
  await failRuns(parts, server)
}

export const revokeServer = async (
  parts: EndServerParts,
  caller: Caller,
  id: string,
): Promise<Server> =>
  found('server', id, async (server: ServerId) => {
    const revoked = await parts.servers.revoke(caller, server)
    if (revoked === null) return null
    await cutOff(parts, server, revoked.joins)
    return parts.servers.get(caller, server)
  })

/** Throws `RESOURCE_HAS_DEPENDENCIES` while it has jobs. */
export const removeServer = async (
  parts: EndServerParts,
  caller: Caller,
  id: string,
): Promise<void> => {
  await foundId('server', id, async (server: ServerId) => {
    const removed = await parts.servers.remove(caller, server)
    if (removed === null) return null
    await cutOff(parts, server, removed.joins)
    return server
  })
}
