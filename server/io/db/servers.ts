import { type Kysely, type Selectable, type SelectQueryBuilder, sql } from 'kysely'
import type { Server } from '#shared/api/servers.ts'
import type { ServerId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Servers } from '../../ports.ts'
import { takeRoom } from './limits.ts'
import { isoOrNull, mapPage, readPage, withUniqueName } from './pages.ts'
import { hold } from './hold.ts'
import type { Schema } from './schema.ts'

const shape = (row: Selectable<Schema['servers']>): Server => ({
  id: row.id,
  project_id: row.project_id,
  name: row.name,
  type: row.type,
  environment: row.environment,
  labels: { ...row.labels },
  status: row.status,
  facts: row.enrolled_at === null ? null : { ...row.facts },
  last_seen_at: isoOrNull(row.last_seen_at),
  last_used: isoOrNull(row.last_used_at),
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
})

const SORTS = {
  created_at: { by: sql.ref('created_at'), type: 'timestamptz' },
  name: { by: sql.ref('name'), type: 'text' },
  status: { by: sql.ref('status'), type: 'text' },
} as const

type Rows = SelectQueryBuilder<Schema, 'servers', Selectable<Schema['servers']>>

const visible = (db: Kysely<Schema>, caller: Caller): Rows => {
  const all = db
    .selectFrom('servers')
    .selectAll()
    .where('org_id', '=', caller.organization)
    .where('deleted_at', 'is', null)
  return caller.project === null ? all : all.where('project_id', '=', caller.project)
}

export const serversIn = (db: Kysely<Schema>, makeId: () => ServerId): Servers => ({
  list: async (caller, page, filters) => {
    const { name, status, environment } = filters
    const query = visible(db, caller)
      .$if(name !== undefined, (q) => q.where('name', '=', name ?? ''))
      .$if(status !== undefined, (q) => q.where('status', '=', status ?? 'pending'))
      .$if(environment !== undefined, (q) =>
        q.where('environment', '=', environment ?? 'production'),
      )
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id: sql.ref('id') }), shape)
  },
  get: async (caller, id) => {
    const row = await visible(db, caller).where('id', '=', id).executeTakeFirst()
    return row === undefined ? null : shape(row)
  },
  add: async (caller, input, project) =>
    withUniqueName(['servers_name', 'a server', input.name], async () =>
      db.transaction().execute(async (trx) => {
        await takeRoom(trx, caller, 'servers')
        if (project !== null) await hold(trx, ['project', project])
        const row = await trx
          .insertInto('servers')
          .values({
            id: makeId(),
            org_id: caller.organization,
            project_id: project,
            name: input.name,
            type: input.type,
            environment: input.environment ?? 'production',
            labels: input.labels ?? {},
          })
          .returningAll()
          .executeTakeFirstOrThrow()
        return shape(row)
      }),
    ),
})
