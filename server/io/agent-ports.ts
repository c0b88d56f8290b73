/** What stands behind the connections of agents, on this machine: the ports of flow/agent-parts.ts. */
import type { Log } from '#shared/world.ts'
import type { AgentLinks, Agents, Commits, Objects, Vaults, Wakeups } from '../ports.ts'
import type { RunEvents, Runs } from '../ports/runs.ts'
import { createLinks } from './agents/links.ts'
import type { Base } from './base.ts'
import { systemClock } from './clock.ts'
import { agentsIn } from './db/agents/agents.ts'
import { commitsIn } from './db/commits/commits.ts'
import { objectsIn } from './db/objects/objects.ts'
import { idMaker } from './db/resources.ts'
import { runsIn } from './db/runs/runs.ts'
import { storageRowsIn } from './db/storage-settings.ts'
import { vaultSealing } from './db/vaults/sealing.ts'
import { vaultsIn } from './db/vaults/vaults.ts'
import { wakeupsIn } from './db/wakeups.ts'
import { createRunEvents } from './events.ts'
import { systemRandom } from './random.ts'
import { createStores, type OpenStores } from './s3/stores.ts'

export type AgentPorts = {
  readonly agents: Agents
  readonly links: AgentLinks
  readonly wakeups: Wakeups
  readonly runs: Runs
  readonly vaults: Vaults
  readonly objects: Objects
  readonly commits: Commits
  readonly stores: OpenStores
  readonly events: RunEvents
}

/** `stores` is to be closed at the end. */
export const agentPortsOn = (
  { database, sealing }: Pick<Base, 'database' | 'sealing'>,
  log: Log,
): AgentPorts => {
  const { db, sql } = database
  const world = { clock: systemClock, random: systemRandom }
  return {
    agents: agentsIn(db, idMaker(world)),
    links: createLinks(),
    wakeups: wakeupsIn(sql),
    runs: runsIn(db),
    vaults: vaultsIn(db, vaultSealing(sealing)),
    objects: objectsIn(db),
    commits: commitsIn(db),
    stores: createStores({ rows: storageRowsIn(db, sealing), ...world }),
    events: createRunEvents(log),
  }
}
