import { type Kysely, sql } from 'kysely'
import type { Id } from '#shared/ids.ts'
import type { Agents } from '../../../ports.ts'
import type { Schema } from '../schema.ts'
import { settingsIn } from '../server-settings.ts'
import { enroll } from './enroll.ts'
import { join } from './join.ts'

export const agentsIn = (db: Kysely<Schema>, makeId: () => Id<'audit entry'>): Agents => ({
  enroll: async (token, newcomer) => enroll(db, token, newcomer),
  find: async (server) => {
    const row = await db
      .selectFrom('servers')
      .innerJoin('organizations', 'organizations.id', 'servers.org_id')
      .select(['servers.org_id', 'servers.name', 'servers.signing_key'])
      .select('organizations.catalog_epoch')
      .where('servers.id', '=', server)
      .where('servers.revoked_at', 'is', null)
      .executeTakeFirst()
    if (row?.signing_key === undefined || row.signing_key === null) return null
    return {
      organization: row.org_id,
      name: row.name,
      signingKey: row.signing_key,
      catalogEpoch: row.catalog_epoch,
    }
  },
  join: async (server, joins, facts) => join(db, { server, joins, facts }, makeId()),
  seen: async (server, joins) => {
    const row = await db
      .updateTable('servers')
      .set({ last_seen_at: sql<Date>`hf_now()`, status: 'online' })
      .where('id', '=', server)
      .where('join_counter', '=', joins)
      .where('revoked_at', 'is', null)
      .returning('id')
      .executeTakeFirst()
    return row !== undefined
  },
  settings: async (server) => {
    const row = await db
      .selectFrom('servers')
      .select('settings')
      .where('id', '=', server)
      .executeTakeFirst()
    return settingsIn(row?.settings)
  },
  left: async (server, joins) => {
    await db
      .updateTable('servers')
      .set({ status: 'offline', updated_at: sql<Date>`hf_now()` })
      .where('id', '=', server)
      .where('join_counter', '=', joins)
      .where('status', '=', 'online')
      .execute()
  },
  expire: async (span) => {
    await db
      .updateTable('servers')
      .set({ status: 'offline', updated_at: sql<Date>`hf_now()` })
      .where('status', '=', 'online')
      .where('last_seen_at', '<', sql<Date>`hf_now() - ${span} * interval '1 millisecond'`)
      .execute()
  },
})
