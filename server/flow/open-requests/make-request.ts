/** Asks the holder of a customer's key to open packs of a backup for somebody. */
import type { OpenRequest, OpenRequestInput, Purpose } from '#shared/api/open-requests.ts'
import { parseDuration } from '#shared/api/durations.ts'
import type { Scope } from '#shared/api/tokens.ts'
import { fail } from '#shared/errors.ts'
import { parseBase64url } from '#shared/format/bytes.ts'
import { boxPublicKey, sharedSecret } from '#shared/format/keys.ts'
import type { BackupId, OpenRequestId } from '#shared/ids.ts'
import { DAY, MINUTE, type Ms } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { Caller } from '../../core/caller.ts'
import { parseWanted, type Wanted } from '../../core/selection.ts'
import type { NewOpenRequest, Opener, OpenRequests } from '../../ports/open-requests.ts'
import type { CommittedBackup } from '../../ports/reading.ts'
import { freshId } from '../agent-parts.ts'
import { found } from '../found.ts'
import type { ReadBackupParts } from '../read-backup.ts'
import { choosePacks } from './choose-packs.ts'

export type MakeRequestParts = ReadBackupParts & {
  readonly openRequests: OpenRequests
  readonly clock: Clock
  readonly random: Random
}

const LIFETIME: Ms = DAY
const LIFETIMES = [MINUTE, 7 * DAY] as const

/** What a token needs for each purpose. */
const SCOPES: Readonly<Record<Purpose, Scope>> = {
  restore: 'restore',
  download: 'download',
  verify: 'download',
}

/** Any secret shows a point of low order: clamping makes all of them multiples of the cofactor. */
const PROBE = new Uint8Array(32).fill(1)

const parseOpenerKey = (text: string): Uint8Array => {
  const key = parseBase64url(text, 32)
  if (key !== null && sharedSecret(PROBE, key) !== null) return key
  const problem = key === null ? 'is not base64url of 32 bytes' : 'is a point of low order'
  throw fail('VALIDATION_FAILED', { field: 'opener_key', problem })
}

const openerOf = (
  { random }: Pick<MakeRequestParts, 'random'>,
  caller: Caller,
  key: string | undefined,
): Opener => {
  if (key !== undefined)
    return { type: 'token', name: caller.name, token: caller.token, key: parseOpenerKey(key) }
  const secret = random(32)
  return { type: 'control-plane', name: 'control plane', secret, key: boxPublicKey(secret) }
}

export const parseLifetime = (given: string | number | undefined): Ms =>
  given === undefined ? LIFETIME : parseDuration(given, 'expires_in', LIFETIMES)

type Wish = {
  readonly purpose: Purpose
  readonly opener: Opener
  readonly wanted: readonly Wanted[]
  readonly lifetime: Ms
}

/** A request to be stored. `INVALID_STATE` for a managed key: nobody has to be asked. */
export const newRequest = async (
  parts: MakeRequestParts,
  [committed, wish]: readonly [CommittedBackup, Wish],
  stop: AbortSignal,
): Promise<NewOpenRequest> => {
  if (committed.keyType !== 'customer')
    throw fail('INVALID_STATE', {
      resource: 'The backup',
      status: 'encrypted to a managed key, which needs no open request',
    })
  const packs = await choosePacks(parts, [committed, wish.wanted], stop)
  return { id: freshId<'open request'>(parts), of: committed, ...wish, packs }
}

/** Throws `PERMISSION_DENIED`, `RESOURCE_NOT_FOUND`, `INVALID_STATE`, or what the reading of names throws. */
export const makeRequest = async (
  parts: MakeRequestParts,
  [caller, input]: readonly [Caller, OpenRequestInput],
  stop: AbortSignal,
): Promise<OpenRequest> => {
  const { purpose } = input
  const scope = SCOPES[purpose]
  if (!caller.scopes.includes(scope))
    throw fail('PERMISSION_DENIED', { scope, scopes: caller.scopes })
  const committed = await found('backup', input.backup_id, async (id: BackupId) =>
    parts.reading.committed(caller, id),
  )
  const wish = {
    purpose,
    opener: openerOf(parts, caller, input.opener_key),
    wanted: parseWanted(input.files ?? []),
    lifetime: parseLifetime(input.expires_in),
  }
  const request = await newRequest(parts, [committed, wish], stop)
  await parts.openRequests.add(caller, request)
  return found('open request', request.id, async (id: OpenRequestId) =>
    parts.openRequests.get(caller, id),
  )
}
