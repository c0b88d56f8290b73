import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import { showDuration } from '#shared/api/durations.ts'
import type { FilesSource, Job, JobVersion } from '#shared/api/jobs.ts'
import { fail } from '#shared/errors.ts'
import type { Id, JobId } from '#shared/ids.ts'
import { SECOND } from '#shared/units.ts'
import type { Caller } from '../../core/caller.ts'
import type { JobDefinition } from '../../core/wishes.ts'
import type { Jobs } from '../../ports.ts'
import { audit } from './audit.ts'
import { openRun } from './backups/start.ts'
import { hold } from './hold.ts'
import { takeRoom } from './limits.ts'
import { mapPage, readPage, withUniqueName } from './pages.ts'
import type { Schema } from './schema.ts'

type Version = Selectable<Schema['job_versions']>

type Row = Pick<
  Selectable<Schema['jobs']>,
  'id' | 'version' | 'server_id' | 'created_at' | 'updated_at'
> &
  Pick<
    Version,
    'name' | 'storage_id' | 'encryption_key_id' | 'external_id' | 'sources' | 'settings'
  >

const isSource = (value: unknown): value is FilesSource =>
  typeof value === 'object' && value !== null && 'type' in value && 'paths' in value

/** Only what is written below stands in this column. */
const sourcesOf = (value: unknown): FilesSource[] =>
  Array.isArray(value) ? value.filter(isSource) : []

type Defined = Pick<
  Version,
  'name' | 'storage_id' | 'encryption_key_id' | 'external_id' | 'sources' | 'settings'
>

const definitionOf = (row: Defined): JobDefinition => {
  const seconds = row.settings['timeout_seconds']
  return {
    name: row.name,
    storage: row.storage_id,
    key: row.encryption_key_id,
    sources: sourcesOf(row.sources),
    external_id: row.external_id,
    timeout: typeof seconds === 'number' ? seconds * SECOND : null,
  }
}

const shown = (row: Defined): Omit<JobVersion, 'version' | 'created_at' | 'created_by'> => {
  const { storage, key, sources, timeout, ...rest } = definitionOf(row)
  return {
    ...rest,
    storage_id: storage,
    encryption_key_id: key,
    sources: [...sources],
    timeout: timeout === null ? null : showDuration(timeout),
  }
}

const shape = (row: Row): Job => ({
  id: row.id,
  version: row.version,
  server_id: row.server_id,
  ...shown(row),
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
})

const shapeVersion = (row: Version): JobVersion => ({
  version: row.version,
  ...shown(row),
  created_at: row.created_at.toISOString(),
  created_by:
    row.created_by === null
      ? null
      : {
          name: row.created_by.name,
          ...(row.created_by.token_id === undefined ? {} : { token_id: row.created_by.token_id }),
        },
})

const SORTS = {
  created_at: { by: sql.ref('jobs.created_at'), type: 'timestamptz' },
  name: { by: sql.ref('jobs.name'), type: 'text' },
} as const

/** Versions follow one another, so their order in time is that of their numbers. */
const VERSION_SORTS = { created_at: { by: sql.ref('version'), type: 'bigint' } } as const

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
    .select(['jobs.id', 'jobs.version', 'jobs.server_id', 'jobs.created_at', 'jobs.updated_at'])
    .select([
      'job_versions.name',
      'job_versions.storage_id',
      'job_versions.encryption_key_id',
      'job_versions.external_id',
      'job_versions.sources',
      'job_versions.settings',
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

/** First the lock, then the row: a join that waited for the lock would look for the version of before. */
const lock = async (
  trx: Transaction<Schema>,
  caller: Caller,
  id: JobId,
): Promise<Row | undefined> => {
  await trx.selectFrom('jobs').select('id').where('id', '=', id).forUpdate().executeTakeFirst()
  return visible(trx, caller).where('jobs.id', '=', id).executeTakeFirst()
}

const addVersion = async (
  trx: Transaction<Schema>,
  caller: Caller,
  { job, version, definition }: { job: JobId; version: number; definition: JobDefinition },
): Promise<void> => {
  const { timeout } = definition
  await trx
    .insertInto('job_versions')
    .values({
      job_id: job,
      version,
      org_id: caller.organization,
      name: definition.name,
      storage_id: definition.storage,
      encryption_key_id: definition.key,
      external_id: definition.external_id,
      sources: definition.sources,
      settings: timeout === null ? {} : { timeout_seconds: Math.round(timeout / SECOND) },
      created_by: { name: caller.name, token_id: caller.token },
    })
    .execute()
}

const columnsOf = ({ name, storage, key, external_id }: JobDefinition) => ({
  name,
  storage_id: storage,
  encryption_key_id: key,
  external_id,
})

const named = async <T>(name: string, write: () => Promise<T>): Promise<T> =>
  withUniqueName(['jobs_name', 'a job', name], write)

const isSame = (a: JobDefinition, b: JobDefinition): boolean =>
  JSON.stringify(columnsOf(a)) === JSON.stringify(columnsOf(b)) &&
  a.timeout === b.timeout &&
  JSON.stringify(a.sources) === JSON.stringify(b.sources)

const change = async (
  trx: Transaction<Schema>,
  caller: Caller,
  [id, wanted]: readonly [JobId, Partial<JobDefinition>],
): Promise<Job | null> => {
  const row = await lock(trx, caller, id)
  if (row === undefined) return null
  const before = definitionOf(row)
  const definition = { ...before, ...wanted }
  if (isSame(before, definition)) return shape(row)
  await hold(trx, ['storage', definition.storage], ['encryption key', definition.key])
  const version = row.version + 1
  await addVersion(trx, caller, { job: id, version, definition })
  await trx
    .updateTable('jobs')
    .set({ ...columnsOf(definition), version, updated_at: sql<Date>`hf_now()` })
    .where('id', '=', id)
    .execute()
  return get(trx, caller, id)
}

/** A backup that is about to be made waits for this lock, or this for it (backups/start.ts). */
const remove = async (
  trx: Transaction<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  id: JobId,
): Promise<boolean> => {
  const row = await lock(trx, caller, id)
  if (row === undefined) return false
  const running = await openRun(trx, id)
  if (running !== null)
    throw fail('OPERATION_IN_PROGRESS', {
      operation: 'backup',
      resource: 'job',
      id: running,
      job_id: id,
    })
  await trx
    .updateTable('jobs')
    .set({ deleted_at: sql<Date>`hf_now()`, next_run_at: null, updated_at: sql<Date>`hf_now()` })
    .where('id', '=', id)
    .execute()
  const deed = { action: 'job.removed', details: { name: row.name } }
  await audit(trx, [caller, entry], { ...deed, subject: ['job', id] })
  return true
}

type Parts = { makeId<Kind extends string>(): Id<Kind> }

export const jobsIn = (db: Kysely<Schema>, parts: Parts): Jobs => ({
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
  add: async (caller, server, definition) =>
    named(definition.name, async () =>
      db.transaction().execute(async (trx) => {
        await takeRoom(trx, caller, 'jobs')
        const { storage, key } = definition
        await hold(trx, ['server', server], ['storage', storage], ['encryption key', key])
        const id = parts.makeId<'job'>()
        await trx
          .insertInto('jobs')
          .values({
            id,
            org_id: caller.organization,
            server_id: server,
            ...columnsOf(definition),
          })
          .execute()
        await addVersion(trx, caller, { job: id, version: 1, definition })
        const job = await get(trx, caller, id)
        if (job === null) throw new Error(`job ${id} is not there after it was added`)
        return job
      }),
    ),
  change: async (caller, id, wanted) =>
    named(wanted.name ?? '', async () =>
      db.transaction().execute(async (trx) => change(trx, caller, [id, wanted])),
    ),
  remove: async (caller, id) =>
    db
      .transaction()
      .execute(async (trx) => remove(trx, [caller, parts.makeId<'audit entry'>()], id)),
  versions: async (caller, id, page) => {
    const query = db
      .selectFrom('job_versions')
      .selectAll()
      .where('job_id', '=', id)
      .where('org_id', '=', caller.organization)
    const of = sql.ref('job_id')
    return mapPage(await readPage(db, query, { page, sorts: VERSION_SORTS, id: of }), shapeVersion)
  },
})
