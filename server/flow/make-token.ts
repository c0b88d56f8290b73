/** A token for somebody else: never more than its maker's own may do, see or last. */
import { parseDuration } from '#shared/api/durations.ts'
import { parseTime } from '#shared/api/times.ts'
import type { NewToken, TokenInput } from '#shared/api/tokens.ts'
import { fail } from '#shared/errors.ts'
import { DAY, MINUTE, type Ms } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { Caller } from '../core/caller.ts'
import type { IssuedTokens, Projects } from '../ports/tokens.ts'
import { chooseProject } from './choose-project.ts'

export type MakeTokenParts = {
  readonly issued: IssuedTokens
  readonly projects: Projects
  readonly clock: Clock
}

const LIFETIME = { least: MINUTE, most: 3650 * DAY }

const endOf = (now: Ms, { expires_at, expires_in }: TokenInput): Ms | null => {
  if (expires_in !== undefined && expires_at !== undefined)
    throw fail('VALIDATION_FAILED', {
      field: 'expires_at',
      problem: 'cannot stand beside expires_in',
    })
  if (expires_in !== undefined)
    return now + parseDuration(expires_in, 'expires_in', [LIFETIME.least, LIFETIME.most])
  if (expires_at === undefined) return null
  const end = parseTime(expires_at, 'expires_at')
  if (end <= now || end > now + LIFETIME.most)
    throw fail('VALIDATION_FAILED', {
      field: 'expires_at',
      problem: 'must lie in the future, at most ten years ahead',
    })
  return end
}

const lifetimeOf = (now: Ms, caller: Caller, input: TokenInput): Ms | null => {
  const end = endOf(now, input)
  if (caller.expiresAt === null) return end
  if (end !== null && end > caller.expiresAt)
    throw fail('VALIDATION_FAILED', {
      field: input.expires_at === undefined ? 'expires_in' : 'expires_at',
      problem: 'lies after the end of the token that asks',
    })
  return end ?? caller.expiresAt
}

/** Throws `PERMISSION_DENIED` for a scope that the caller does not have, `RESOURCE_NOT_FOUND` for another project. */
export const makeToken = async (
  parts: MakeTokenParts,
  caller: Caller,
  input: TokenInput,
): Promise<NewToken> => {
  const scopes = [...new Set(input.scopes)]
  const missing = scopes.find((scope) => !caller.scopes.includes(scope))
  if (missing !== undefined)
    throw fail('PERMISSION_DENIED', { scope: missing, scopes: caller.scopes })
  return parts.issued.add(caller, {
    name: input.name,
    scopes,
    project: await chooseProject(parts, caller, input.project_id),
    expiresAt: lifetimeOf(parts.clock.now(), caller, input),
  })
}
