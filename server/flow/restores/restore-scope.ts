/** A restore as its agent asks about it, and what its answers are made of. */
import { fail } from '#shared/errors.ts'
import { isId } from '#shared/ids.ts'
import { HOUR, MINUTE, type Ms, SECOND } from '#shared/units.ts'
import { holds } from '../../core/backup-machine.ts'
import type { Link, VaultStore } from '../../ports.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import type { RestoreScope } from '../../ports/restores.ts'
import { type AgentParts, leaseLost } from '../agent-parts.ts'

/** An agent that is slower asks again; who steals a URL has ciphertext, for so long. */
const URL_LIFE: Ms = HOUR
/** What the agent is told: its clock may differ, and a GET takes its time. */
const MARGIN: Ms = MINUTE

/** `expires_at` is by our clock; the signature is by that of the store. */
export const signedGet = (
  parts: Pick<AgentParts, 'clock'>,
  store: VaultStore,
  key: string,
): { readonly url: string; readonly expires_at: Ms } => ({
  url: store.signGet({ key, expiresIn: URL_LIFE / SECOND }),
  expires_at: parts.clock.now() + URL_LIFE - MARGIN,
})

type AboutRun = { readonly run: string; readonly epoch: number }

/** The restore that a report is about. One of another server is not there: `RESOURCE_NOT_FOUND`. */
export const restoreOf = async (
  parts: Pick<AgentParts, 'restores'>,
  link: Link,
  { run }: AboutRun,
): Promise<RestoreScope> => {
  const scope = isId(run) ? await parts.restores.scope(run, link.server) : null
  if (scope === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'restore', id: run })
  return scope
}

/** The same, and it is the sender's under this epoch: else `LEASE_LOST`. */
export const heldRestore = async (
  parts: Pick<AgentParts, 'restores'>,
  link: Link,
  report: AboutRun,
): Promise<RestoreScope> => {
  const scope = await restoreOf(parts, link, report)
  if (!holds(scope.run, report.epoch)) throw leaseLost(report.run)
  return scope
}

/** The backup that is restored. `RESOURCE_NOT_FOUND` where it was deleted meanwhile. */
export const committedOf = async (
  parts: Pick<AgentParts, 'reading'>,
  { organization, backup }: RestoreScope,
): Promise<CommittedBackup> => {
  const committed = await parts.reading.committed({ organization, project: null }, backup)
  if (committed === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: backup })
  return committed
}
