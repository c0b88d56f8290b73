/** A restore as its agent asks about it. */
import { fail } from '#shared/errors.ts'
import { isId } from '#shared/ids.ts'
import { holds } from '../../core/backup-machine.ts'
import type { Link } from '../../ports.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import type { RestoreScope } from '../../ports/restores.ts'
import { type AgentParts, leaseLost } from '../agent-parts.ts'

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
