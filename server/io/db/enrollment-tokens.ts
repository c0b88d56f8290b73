import { type Kysely, sql } from 'kysely'
import type { Id } from '#shared/ids.ts'
import type { Random } from '#shared/world.ts'
import type { EnrollmentTokens } from '../../ports.ts'
import { makeToken } from '../secrets.ts'
import type { Schema } from './schema.ts'

/** Only the hash is kept: whoever reads the database cannot enrol with it. */
export const enrollmentTokensIn = (
  db: Kysely<Schema>,
  parts: { readonly random: Random; makeId(): Id<'enrollment token'> },
): EnrollmentTokens => ({
  add: async (caller, wanted) => {
    const { token, hash } = makeToken(parts.random)
    const row = await db
      .insertInto('enrollment_tokens')
      .values({
        id: parts.makeId(),
        org_id: caller.organization,
        server_id: wanted.server,
        hash,
        vaults: wanted.vaults.map(({ storage, key }) => ({
          storage_id: storage,
          encryption_key_id: key,
        })),
        created_by: caller.token,
        expires_at: sql<Date>`hf_now() + ${wanted.lifetime} * interval '1 millisecond'`,
      })
      .returning(['id', 'expires_at'])
      .executeTakeFirstOrThrow()
    return { id: row.id, token, expires_at: row.expires_at.toISOString() }
  },
})
