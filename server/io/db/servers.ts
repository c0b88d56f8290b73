import {
  type Kysely,
  type RawBuilder,
  type Selectable,
  type SelectQueryBuilder,
  sql,
  type Transaction,
} from 'kysely'
import type { Server } from '#shared/api/servers.ts'
import type { Id, ServerId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Servers } from '../../ports.ts'
import { takeRoom } from './limits.ts'
import { isoOrNull, mapPage, readPage, withUniqueName } from './pages.ts'
import { audit } from './audit.ts'
import { refuseDependents } from './dependencies.ts'
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
  revoked_at: isoOrNull(row.revoked_at),
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

type Parts = { makeId<Kind extends string>(): Id<Kind> }

const lock = async (
  trx: Transaction<Schema>,
  caller: Caller,
  id: ServerId,
): Promise<Selectable<Schema['servers']> | undefined> =>
  visible(trx, caller).where('id', '=', id).forUpdate().executeTakeFirst()

const now = sql<Date>`hf_now()`

/** From here on no connection of its agent is the newest one, no key of it is known, and no token makes another. */
const shutOut = async (
  trx: Transaction<Schema>,
  server: Selectable<Schema['servers']>,
  deletedAt: RawBuilder<Date> | null,
): Promise<{ readonly joins: number }> => {
  const row = await trx
    .updateTable('servers')
    .set((is) => ({
      revoked_at: now,
      deleted_at: deletedAt,
      status: server.status === 'online' ? 'offline' : server.status,
      join_counter: is('join_counter', '+', 1),
      updated_at: now,
    }))
    .where('id', '=', server.id)
    .returning('join_counter')
    .executeTakeFirstOrThrow()
  await trx
    .updateTable('enrollment_tokens')
    .set({ used_at: now })
    .where('server_id', '=', server.id)
    .where('used_at', 'is', null)
    .execute()
  return { joins: row.join_counter }
}

const change = async (
  trx: Transaction<Schema>,
  caller: Caller,
  [id, { project, ...columns }]: readonly [ServerId, Parameters<Servers['change']>[2]],
): Promise<Server | null> => {
  const server = await lock(trx, caller, id)
  if (server === undefined) return null
  if (project !== undefined && project !== null) await hold(trx, ['project', project])
  const row = await trx
    .updateTable('servers')
    .set({ ...columns, ...(project === undefined ? {} : { project_id: project }), updated_at: now })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow()
  return shape(row)
}

const end = async (
  trx: Transaction<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  [id, isRemoval]: readonly [ServerId, boolean],
): Promise<{ readonly joins: number } | null> => {
  const server = await lock(trx, caller, id)
  if (server === undefined) return null
  if (isRemoval)
    await refuseDependents(
      trx,
      ['server', id],
      [
        {
          kind: 'jobs',
          rows: sql`select id from jobs where server_id = ${id} and deleted_at is null`,
        },
      ],
    )
  const done = await shutOut(trx, server, isRemoval ? now : null)
  const action = isRemoval ? 'server.removed' : 'server.revoked'
  const deed = { action, details: { name: server.name } }
  await audit(trx, [caller, entry], { ...deed, subject: ['server', id] })
  return done
}

export const serversIn = (db: Kysely<Schema>, parts: Parts): Servers => ({
  list: async (caller, page, filters) => {
    const { name, status, environment, project_id } = filters
    const query = visible(db, caller)
      .$if(name !== undefined, (q) => q.where('name', '=', name ?? ''))
      .$if(status !== undefined, (q) => q.where('status', '=', status ?? 'pending'))
      .$if(environment !== undefined, (q) =>
        q.where('environment', '=', environment ?? 'production'),
      )
      .$if(project_id !== undefined, (q) => q.where(sql`project_id`, '=', project_id))
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
            id: parts.makeId<'server'>(),
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
  change: async (caller, id, wanted) =>
    withUniqueName(['servers_name', 'a server', wanted.name ?? ''], async () =>
      db.transaction().execute(async (trx) => change(trx, caller, [id, wanted])),
    ),
  revoke: async (caller, id) =>
    db
      .transaction()
      .execute(async (trx) => end(trx, [caller, parts.makeId<'audit entry'>()], [id, false])),
  remove: async (caller, id) =>
    db
      .transaction()
      .execute(async (trx) => end(trx, [caller, parts.makeId<'audit entry'>()], [id, true])),
})
