import { type Kysely, type Selectable, sql } from 'kysely'
import type { Project } from '#shared/api/projects.ts'
import type { Id, ProjectId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Projects } from '../../ports/tokens.ts'
import { audit } from './audit.ts'
import { refuseDependents } from './dependencies.ts'
import { takeRoom } from './limits.ts'
import { mapPage, readPage, withUniqueName } from './pages.ts'
import type { Schema } from './schema.ts'

type Row = Pick<Selectable<Schema['projects']>, 'id' | 'name' | 'created_at' | 'updated_at'> & {
  readonly servers: number
}

const shape = (row: Row): Project => ({
  ...row,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
})

const SORTS = {
  created_at: { by: sql.ref('projects.created_at'), type: 'timestamptz' },
  name: { by: sql.ref('projects.name'), type: 'text' },
} as const

const visible = (db: Kysely<Schema>, caller: Caller) => {
  const all = db
    .selectFrom('projects')
    .where('projects.org_id', '=', caller.organization)
    .where('projects.deleted_at', 'is', null)
    .select(['projects.id', 'projects.name', 'projects.created_at', 'projects.updated_at'])
    .select(
      sql<number>`(select count(*)::int from servers s
        where s.project_id = projects.id and s.deleted_at is null)`.as('servers'),
    )
  return caller.project === null ? all : all.where('projects.id', '=', caller.project)
}

const get = async (db: Kysely<Schema>, caller: Caller, id: ProjectId): Promise<Project | null> => {
  const row = await visible(db, caller).where('projects.id', '=', id).executeTakeFirst()
  return row === undefined ? null : shape(row)
}

const named = async <T>(name: string, write: () => Promise<T>): Promise<T> =>
  withUniqueName(['projects_name', 'a project', name], write)

type Parts = { makeId<Kind extends string>(): Id<Kind> }

/** Servers and tokens that are put into it just now wait for this lock, or this for them (hold.ts). */
const remove = async (
  trx: Kysely<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  id: ProjectId,
): Promise<boolean> => {
  const there = await visible(trx, caller)
    .where('projects.id', '=', id)
    .forUpdate()
    .executeTakeFirst()
  if (there === undefined) return false
  await refuseDependents(
    trx,
    ['project', id],
    [
      {
        kind: 'servers',
        rows: sql`select id from servers where project_id = ${id} and deleted_at is null`,
      },
    ],
  )
  await trx
    .updateTable('projects')
    .set({ deleted_at: sql<Date>`hf_now()`, updated_at: sql<Date>`hf_now()` })
    .where('id', '=', id)
    .execute()
  await trx
    .updateTable('tokens')
    .set({ revoked_at: sql<Date>`hf_now()` })
    .where('project_id', '=', id)
    .where('revoked_at', 'is', null)
    .execute()
  const deed = { action: 'project.removed', details: { name: there.name } }
  await audit(trx, [caller, entry], { ...deed, subject: ['project', id] })
  return true
}

export const projectsIn = (db: Kysely<Schema>, parts: Parts): Projects => ({
  list: async (caller, page, { name }) => {
    const query = visible(db, caller).$if(name !== undefined, (q) =>
      q.where('projects.name', '=', name ?? ''),
    )
    const id = sql.ref('projects.id')
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id }), shape)
  },
  get: async (caller, id) => get(db, caller, id),
  add: async (caller, input) =>
    named(input.name, async () =>
      db.transaction().execute(async (trx) => {
        await takeRoom(trx, caller, 'projects')
        const row = await trx
          .insertInto('projects')
          .values({ id: parts.makeId<'project'>(), org_id: caller.organization, name: input.name })
          .returning(['id', 'name', 'created_at', 'updated_at'])
          .executeTakeFirstOrThrow()
        return shape({ ...row, servers: 0 })
      }),
    ),
  change: async (caller, id, change) =>
    named(change.name ?? '', async () => {
      const found = await get(db, caller, id)
      if (found === null || change.name === undefined || change.name === found.name) return found
      await db
        .updateTable('projects')
        .set({ name: change.name, updated_at: sql<Date>`hf_now()` })
        .where('id', '=', id)
        .where('deleted_at', 'is', null)
        .execute()
      return get(db, caller, id)
    }),
  remove: async (caller, id) =>
    db
      .transaction()
      .execute(async (trx) => remove(trx, [caller, parts.makeId<'audit entry'>()], id)),
})
