/** Asks for a restore. It is only a pending row; the dispatcher gives it to the agent when it can. */
import type { Restore, RestoreInput } from '#shared/api/restores.ts'
import { fail } from '#shared/errors.ts'
import type { BackupId, RestoreId, ServerId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import { parsePlace, touches } from '../../core/places.ts'
import { parseWanted, type Wanted } from '../../core/selection.ts'
import type { NewOpenRequest } from '../../ports/open-requests.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import type { InTheWay, Restores, RestoreTarget } from '../../ports/restores.ts'
import { freshId } from '../agent-parts.ts'
import { found } from '../found.ts'
import { type MakeRequestParts, newRequest, parseLifetime } from '../open-requests/make-request.ts'

export type StartRestoreParts = MakeRequestParts & {
  readonly restores: Restores
  wakeDispatcher(): void
}

type Enrolled = RestoreTarget & { readonly keys: NonNullable<RestoreTarget['keys']> }

const targetOf = async (
  parts: StartRestoreParts,
  caller: Caller,
  server: string,
): Promise<Enrolled> => {
  const target = await found('server', server, async (id: ServerId) =>
    parts.restores.target(caller, id),
  )
  const { keys } = target
  if (keys === null)
    throw fail('INVALID_STATE', {
      resource: `The server "${target.name}"`,
      status: 'without an enrolled agent',
    })
  return { ...target, keys }
}

/** Packs are opened for the agent that is enrolled there now. */
const requestFor = async (
  parts: StartRestoreParts,
  [committed, target, wanted]: readonly [CommittedBackup, Enrolled, readonly Wanted[]],
  stop: AbortSignal,
): Promise<NewOpenRequest | null> => {
  if (committed.keyType === 'managed') return null
  const { boxKey: key, signingKey } = target.keys
  const opener = {
    type: 'agent',
    name: target.name,
    server: target.server,
    key,
    signingKey,
  } as const
  const wish = { purpose: 'restore', opener, wanted, lifetime: parseLifetime(undefined) } as const
  return newRequest(parts, [committed, wish], stop)
}

/** What it writes at or below: the target, else what the backup was made of. */
const placesOf = async (
  parts: StartRestoreParts,
  { backup }: CommittedBackup,
  target: string,
): Promise<readonly string[]> => {
  if (target !== '') return [target]
  const sources = await parts.restores.sources(backup)
  return sources.length === 0 ? ['/'] : sources
}

const inTheWay = ({ kind, id }: InTheWay): Error =>
  fail('OPERATION_IN_PROGRESS', {
    operation: kind,
    resource: kind === 'backup' ? 'job' : 'place',
    id,
  })

/**
 * `RESOURCE_NOT_FOUND`, `INVALID_STATE` (no committed backup, no agent there), `OPERATION_IN_PROGRESS` with what is in the
 * way. An agent that is not connected is no error: the restore waits for it.
 */
export const startRestore = async (
  parts: StartRestoreParts,
  [caller, { backup, ...input }]: readonly [Caller, RestoreInput & { readonly backup: string }],
  stop: AbortSignal,
): Promise<Restore> => {
  const wanted = parseWanted(input.files ?? [])
  const target = input.target_path === undefined ? '' : parsePlace(input.target_path, 'target_path')
  const committed = await found('backup', backup, async (id: BackupId) =>
    parts.reading.committed(caller, id),
  )
  const server = await targetOf(parts, caller, input.compute?.server_id ?? committed.server)
  const id = freshId<'restore'>(parts)
  const blocked = await parts.restores.start(
    caller,
    {
      id,
      of: committed,
      server: server.server,
      target,
      conflict: input.conflict ?? 'refuse',
      places: await placesOf(parts, committed, target),
      wanted,
      openRequest: await requestFor(parts, [committed, server, wanted], stop),
    },
    touches,
  )
  if (blocked !== null) throw inTheWay(blocked)
  await parts.reading.used(committed.backup)
  parts.wakeDispatcher()
  return found('restore', id, async (one: RestoreId) => parts.restores.get(caller, one))
}
