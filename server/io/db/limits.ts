/** What an organization may have at most. */
import { type Kysely, sql } from 'kysely'
import type { Limits } from '#shared/api/organization.ts'
import { fail } from '#shared/errors.ts'
import type { Caller } from '../../core/caller.ts'
import type { Schema } from './schema.ts'
import type { JsonObject } from './schema-columns.ts'

const numberIn = (limits: JsonObject, name: keyof Limits): number | null => {
  const value = limits[name]
  return typeof value === 'number' ? value : null
}

export const limitsIn = (limits: JsonObject): Limits => ({
  max_projects: numberIn(limits, 'max_projects'),
  max_servers: numberIn(limits, 'max_servers'),
  max_jobs: numberIn(limits, 'max_jobs'),
  max_tokens: numberIn(limits, 'max_tokens'),
})

const COUNTED = {
  projects: sql`projects where deleted_at is null`,
  servers: sql`servers where deleted_at is null`,
  jobs: sql`jobs where deleted_at is null`,
  tokens: sql`tokens where revoked_at is null`,
} as const

/**
 * Throws `LIMIT_EXCEEDED` where one more is too many. The lock on the organization's row lets only one of two that add
 * at once count at a time; it does not hold up rows that merely belong to the organization.
 */
export const takeRoom = async (
  trx: Kysely<Schema>,
  caller: Caller,
  what: keyof typeof COUNTED,
): Promise<void> => {
  const read = trx
    .selectFrom('organizations')
    .select('limits')
    .where('id', '=', caller.organization)
  const free = await read.executeTakeFirstOrThrow()
  if (limitsIn(free.limits)[`max_${what}`] === null) return
  const held = await read.forNoKeyUpdate().executeTakeFirstOrThrow()
  const most = limitsIn(held.limits)[`max_${what}`]
  if (most === null) return
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from ${COUNTED[what]}
    and org_id = ${caller.organization}`.execute(trx)
  if ((rows[0]?.n ?? 0) >= most) throw fail('LIMIT_EXCEEDED', { limit: most, what })
}
