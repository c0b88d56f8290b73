import { type Kysely, type Selectable, sql } from 'kysely'
import type { FilesSource, Job } from '#shared/api/jobs.ts'
import type { JobId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Jobs } from '../../ports.ts'
import { hold } from './hold.ts'
import { takeRoom } from './limits.ts'
import { mapPage, readPage, withUniqueName } from './pages.ts'
import type { Schema } from './schema.ts'

type Row = Pick<
  Selectable<Schema['jobs']>,
  | 'id'
  | 'name'
  | 'version'
  | 'server_id'
  | 'storage_id'
  | 'encryption_key_id'
  | 'external_id'
  | 'created_at'
  | 'updated_at'
> & { readonly sources: unknown }

const isSource = (value: unknown): value is FilesSource =>
  typeof value === 'object' && value !== null && 'type' in value && 'paths' in value

/** Only what `add` has written stands in this column. */
const sourcesOf = (value: unknown): FilesSource[] =>
  Array.isArray(value) ? value.filter(isSource) : []

const shape = (row: Row): Job => ({
  ...row,
  sources: sourcesOf(row.sources),
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
})

const SORTS = {
  created_at: { by: sql.ref('jobs.created_at'), type: 'timestamptz' },
  name: { by: sql.ref('jobs.name'), type: 'text' },
} as const

const visible = (db: Kysely<Schema>, caller: Caller) => {
  const all = db
    .selectFrom('jobs')
    .innerJoin('job_versions', (join) =>
      join
        .onRef('job_versions.job_id', '=', 'jobs.id')
        .onRef('job_versions.version', '=', 'jobs.version'),
    )
    .where('jobs.org_id', '=', caller.organization)
    .where('jobs.deleted_at', 'is', null)
    .select([
      'jobs.id',
      'jobs.name',
      'jobs.version',
      'jobs.server_id',
      'jobs.storage_id',
      'jobs.encryption_key_id',
      'jobs.external_id',
      'jobs.created_at',
      'jobs.updated_at',
      'job_versions.sources',
    ])
  const { project } = caller
  return project === null
    ? all
    : all.where('jobs.server_id', 'in', (q) =>
        q.selectFrom('servers').select('servers.id').where('servers.project_id', '=', project),
      )
}

const get = async (db: Kysely<Schema>, caller: Caller, id: JobId): Promise<Job | null> => {
  const row = await visible(db, caller).where('jobs.id', '=', id).executeTakeFirst()
  return row === undefined ? null : shape(row)
}

export const jobsIn = (db: Kysely<Schema>, makeId: () => JobId): Jobs => ({
  list: async (caller, page, filters) => {
    const { name, server_id, storage_id, external_id } = filters
    let query = visible(db, caller)
    if (name !== undefined) query = query.where(sql`jobs.name`, '=', name)
    if (server_id !== undefined) query = query.where(sql`jobs.server_id`, '=', server_id)
    if (storage_id !== undefined) query = query.where(sql`jobs.storage_id`, '=', storage_id)
    if (external_id !== undefined) query = query.where('jobs.external_id', '=', external_id)
    const id = sql.ref('jobs.id')
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id }), shape)
  },
  get: async (caller, id) => get(db, caller, id),
  add: async (caller, input, targets) =>
    withUniqueName(['jobs_name', 'a job', input.name], async () =>
      db.transaction().execute(async (tx) => {
        await takeRoom(tx, caller, 'jobs')
        const { server, storage, key } = targets
        await hold(tx, ['server', server], ['storage', storage], ['encryption key', key])
        const id = makeId()
        await tx
          .insertInto('jobs')
          .values({
            id,
            org_id: caller.organization,
            server_id: targets.server,
            storage_id: targets.storage,
            encryption_key_id: targets.key,
            name: input.name,
            external_id: input.external_id ?? null,
          })
          .execute()
        await tx
          .insertInto('job_versions')
          .values({
            job_id: id,
            version: 1,
            org_id: caller.organization,
            name: input.name,
            storage_id: targets.storage,
            encryption_key_id: targets.key,
            external_id: input.external_id ?? null,
            sources: input.sources,
            created_by: { name: caller.name, token_id: caller.token },
          })
          .execute()
        const job = await get(tx, caller, id)
        if (job === null) throw new Error(`job ${id} is not there after it was added`)
        return job
      }),
    ),
})
