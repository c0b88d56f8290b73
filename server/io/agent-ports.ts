/** What stands behind the connections of agents, on this machine: the ports of flow/agent-parts.ts. */
import type { AgentLinks, Agents, Commits, Objects, Vaults, Wakeups } from '../ports.ts'
import type { OpenRequests } from '../ports/open-requests.ts'
import type { Identities, Reading } from '../ports/reading.ts'
import type { Restores } from '../ports/restores.ts'
import type { Runs } from '../ports/runs.ts'
import type { SpotChecks } from '../ports/spot-checks.ts'
import { createLinks } from './agents/links.ts'
import type { Base } from './base.ts'
import { systemClock } from './clock.ts'
import { agentsIn } from './db/agents/agents.ts'
import { commitsIn } from './db/commits/commits.ts'
import { objectsIn } from './db/objects/objects.ts'
import { spotChecksIn } from './db/objects/spot-checks.ts'
import { openRequestsIn } from './db/open-requests/open-requests.ts'
import { openerSealing } from './db/open-requests/sealing.ts'
import { recentIdentities } from './db/reading/identities.ts'
import { readingIn } from './db/reading/reading.ts'
import { idMaker } from './db/resources.ts'
import { restoresIn } from './db/restores/restores.ts'
import { runsIn } from './db/runs/runs.ts'
import { storageRowsIn } from './db/storage-settings.ts'
import { vaultSealing } from './db/vaults/sealing.ts'
import { vaultsIn } from './db/vaults/vaults.ts'
import { wakeupsIn } from './db/wakeups.ts'
import { systemRandom } from './random.ts'
import { createStores, type OpenStores } from './s3/stores.ts'

export type AgentPorts = {
  readonly agents: Agents
  readonly links: AgentLinks
  readonly wakeups: Wakeups
  readonly runs: Runs
  readonly vaults: Vaults
  readonly objects: Objects
  readonly spotChecks: SpotChecks
  readonly commits: Commits
  readonly stores: OpenStores
  readonly reading: Reading
  readonly identities: Identities
  readonly restores: Restores
  readonly openRequests: OpenRequests
}

/** `stores` is to be closed at the end. */
export const agentPortsOn = ({
  database,
  sealing,
}: Pick<Base, 'database' | 'sealing'>): AgentPorts => {
  const { db, sql } = database
  const world = { clock: systemClock, random: systemRandom }
  const reading = readingIn(db, sealing)
  const requests = { makeId: idMaker(world), ...openerSealing(sealing) }
  return {
    agents: agentsIn(db, idMaker(world)),
    links: createLinks(),
    wakeups: wakeupsIn(sql),
    runs: runsIn(db),
    vaults: vaultsIn(db, vaultSealing(sealing)),
    objects: objectsIn(db),
    spotChecks: spotChecksIn(db, idMaker(world)),
    commits: commitsIn(db),
    stores: createStores({ rows: storageRowsIn(db, sealing), ...world }),
    reading,
    identities: recentIdentities(reading, systemClock),
    restores: restoresIn(db, requests),
    openRequests: openRequestsIn(db, requests),
  }
}
