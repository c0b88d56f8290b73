import { type Kysely, sql } from 'kysely'
import type { Tokens } from '../../ports.ts'
import { hashToken } from '../secrets.ts'
import type { Schema } from './schema.ts'

export const tokensIn = (db: Kysely<Schema>): Tokens => ({
  // Only the SHA-256 is looked up, by an index: how long that takes says nothing about the bits of any token.
  find: async (token) => {
    const hash = hashToken(token)
    if (hash === null) return null
    const row = await db
      .selectFrom('tokens')
      .where('hash', '=', hash)
      .where('revoked_at', 'is', null)
      .where(sql<boolean>`(expires_at is null or expires_at > hf_now())`)
      .select(['id', 'org_id', 'project_id', 'name', 'scopes'])
      .select(
        sql<boolean>`last_used_at is null or last_used_at < hf_now() - interval '1 minute'`.as(
          'unnoted',
        ),
      )
      .executeTakeFirst()
    if (row === undefined) return null
    if (row.unnoted)
      await db
        .updateTable('tokens')
        .set({ last_used_at: sql<Date>`hf_now()` })
        .where('id', '=', row.id)
        .execute()
    return {
      organization: row.org_id,
      token: row.id,
      name: row.name,
      scopes: row.scopes,
      project: row.project_id,
    }
  },
})
