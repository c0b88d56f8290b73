import type { Kysely } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { Organizations } from '../../ports.ts'
import { recoveryOf } from './organization.ts'
import { isoOrNull } from './pages.ts'
import type { Schema } from './schema.ts'

export const organizationsIn = (db: Kysely<Schema>): Organizations => ({
  me: async (caller) => {
    const row = await db
      .selectFrom('tokens as t')
      .innerJoin('organizations as o', 'o.id', 't.org_id')
      .where('t.id', '=', caller.token)
      .select([
        't.id',
        't.name',
        't.scopes',
        't.project_id',
        't.expires_at',
        't.last_used_at',
        't.created_at',
        'o.id as org_id',
        'o.name as org_name',
        'o.recovery_recipient',
        'o.signing_public_key',
        'o.kit_confirmed_at',
      ])
      .executeTakeFirst()
    if (row === undefined) throw fail('UNAUTHENTICATED')
    return {
      organization: {
        id: row.org_id,
        name: row.org_name,
        recovery: recoveryOf(row),
      },
      token: {
        id: row.id,
        name: row.name,
        scopes: [...row.scopes],
        project_id: row.project_id,
        expires_at: isoOrNull(row.expires_at),
        last_used_at: isoOrNull(row.last_used_at),
        created_at: row.created_at.toISOString(),
      },
    }
  },
})
