import { type Kysely, sql } from 'kysely'
import type { BackupId, Id, RestoreId, ServerId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import type { RestoreScope, Restores, RestoreTarget } from '../../../ports/restores.ts'
import { mapPage, readPage } from '../pages.ts'
import { RUN_COLUMNS, runIn } from '../runs/run-row.ts'
import type { Schema } from '../schema.ts'
import { shapeRestore } from './restore-shape.ts'
import { startRestore, type StartParts } from './start.ts'

const SORTS = {
  created_at: { by: sql.ref('r.created_at'), type: 'timestamptz' },
  status: { by: sql.ref('r.status'), type: 'text' },
  completed_at: { by: sql`coalesce(r.completed_at, 'infinity')`, type: 'timestamptz' },
} as const

/** A token of one project sees what was restored onto its servers, from backups of its servers. */
const visible = (db: Kysely<Schema>, caller: Caller) => {
  const all = db
    .selectFrom('restores as r')
    .innerJoin('servers as s', 's.id', 'r.server_id')
    .innerJoin('backups as b', 'b.id', 'r.backup_id')
    .innerJoin('servers as o', 'o.id', 'b.server_id')
    .leftJoin('open_requests as q', 'q.id', 'r.open_request_id')
    .leftJoin('restore_selections as w', (join) =>
      join.onRef('w.restore_id', '=', 'r.id').on('w.page', '=', 0),
    )
    .where('r.org_id', '=', caller.organization)
    .selectAll('r')
    .select([
      's.name as server_name',
      's.type as server_type',
      's.host as server_host',
      's.port as server_port',
      's.user as server_user',
      's.status as server_status',
      's.created_at as server_created_at',
      's.last_used_at as server_last_used_at',
      'w.wanted',
      sql<boolean | null>`q.approved_at is not null`.as('request_approved'),
    ])
  const { project } = caller
  return project === null
    ? all
    : all.where('s.project_id', '=', project).where('o.project_id', '=', project)
}

const target = async (
  db: Kysely<Schema>,
  caller: Caller,
  server: ServerId,
): Promise<RestoreTarget | null> => {
  const query = db
    .selectFrom('servers')
    .select(['name', 'signing_key', 'box_key', 'revoked_at'])
    .where('id', '=', server)
    .where('org_id', '=', caller.organization)
    .where('deleted_at', 'is', null)
  const { project } = caller
  const row = await (
    project === null ? query : query.where('project_id', '=', project)
  ).executeTakeFirst()
  if (row === undefined) return null
  const { name, signing_key, box_key, revoked_at } = row
  const isEnrolled = signing_key !== null && box_key !== null && revoked_at === null
  return {
    server,
    name,
    keys: isEnrolled ? { signingKey: signing_key, boxKey: box_key } : null,
  }
}

/** Every kind of source that has paths names them in `paths`. */
const sources = async (db: Kysely<Schema>, backup: BackupId): Promise<readonly string[]> => {
  const { rows } = await sql<{ path: string }>`
    select distinct p.path
    from backups b
    join job_versions v on v.job_id = b.job_id and v.version = b.job_version
    cross join jsonb_array_elements(v.sources) as s(source)
    cross join jsonb_array_elements_text(s.source->'paths') as p(path)
    where b.id = ${backup}`.execute(db)
  return rows.map(({ path }) => path)
}

const scope = async (
  db: Kysely<Schema>,
  restore: string,
  server: ServerId,
): Promise<RestoreScope | null> => {
  const row = await db
    .selectFrom('restores as r')
    .innerJoin('servers as s', 's.id', 'r.server_id')
    .innerJoin('backups as b', 'b.id', 'r.backup_id')
    .innerJoin('jobs as j', 'j.id', 'r.job_id')
    .select(RUN_COLUMNS.map((name) => `r.${name}` as const))
    .select(['r.id', 'r.org_id', 'r.backup_id', 'r.target', 'r.conflict', 'r.selection_pages'])
    .select(['r.open_request_id', 's.box_key', 'b.name as backup_name', 'j.name as job_name'])
    .where(sql<boolean>`r.id = ${restore}::uuid`)
    .where('r.server_id', '=', server)
    .executeTakeFirst()
  if (row === undefined) return null
  return {
    restore: row.id,
    organization: row.org_id,
    server,
    backup: row.backup_id,
    backupName: row.backup_name,
    jobName: row.job_name,
    target: row.target,
    conflict: row.conflict,
    selectionPages: row.selection_pages,
    openRequest: row.open_request_id,
    boxKey: row.box_key,
    run: runIn(row),
  }
}

const selection: (db: Kysely<Schema>) => Restores['selection'] = (db) => async (restore, page) => {
  const row = await db
    .selectFrom('restore_selections')
    .select('wanted')
    .where('restore_id', '=', restore)
    .where('page', '=', page)
    .executeTakeFirst()
  return row?.wanted ?? null
}

const unopened = async (db: Kysely<Schema>, limit: number): Promise<readonly RestoreId[]> => {
  const rows = await db
    .selectFrom('restores as r')
    .innerJoin('open_requests as q', 'q.id', 'r.open_request_id')
    .select('r.id')
    .where('r.status', '=', 'pending')
    .where('q.expires_at', '<=', sql<Date>`hf_now()`)
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id)
}

export const restoresIn = (
  db: Kysely<Schema>,
  parts: StartParts & { makeId(): Id<'audit entry'> },
): Restores => ({
  list: async (caller, page, filters) => {
    const { server_id, job_id, backup_id, project_id, status } = filters
    const query = visible(db, caller)
      .$if(server_id !== undefined, (q) => q.where(sql`r.server_id`, '=', server_id))
      .$if(job_id !== undefined, (q) => q.where(sql`r.job_id`, '=', job_id))
      .$if(backup_id !== undefined, (q) => q.where(sql`r.backup_id`, '=', backup_id))
      .$if(project_id !== undefined, (q) => q.where(sql`s.project_id`, '=', project_id))
      .$if(status !== undefined, (q) => q.where(sql`r.status`, '=', status))
    const id = sql.ref('r.id')
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id }), shapeRestore)
  },
  get: async (caller, id) => {
    const row = await visible(db, caller).where('r.id', '=', id).executeTakeFirst()
    return row === undefined ? null : shapeRestore(row)
  },
  target: async (caller, server) => target(db, caller, server),
  sources: async (backup) => sources(db, backup),
  start: async (caller, wanted, touches) => startRestore(db, parts, [caller, wanted, touches]),
  scope: async (restore, server) => scope(db, restore, server),
  selection: selection(db),
  unopened: async (limit) => unopened(db, limit),
})
