import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { BackupId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { NewBackup } from '../../core/wishes.ts'
import type { Backups } from '../../ports.ts'
import { type BackupRow, shapeBackup, shapeProgress } from './backup-shape.ts'
import { brokenConstraint } from './errors.ts'
import { mapPage, readPage } from './pages.ts'
import type { Schema } from './schema.ts'
import { WORK } from './wakeups.ts'

const SORTS = {
  created_at: { by: sql.ref('b.created_at'), type: 'timestamptz' },
  name: { by: sql.ref('b.name'), type: 'text' },
  status: { by: sql.ref('b.status'), type: 'text' },
  size_bytes: { by: sql`coalesce(b.bytes_source, 0)`, type: 'bigint' },
  // What is not over yet is the newest.
  completed_at: { by: sql`coalesce(b.completed_at, 'infinity')`, type: 'timestamptz' },
} as const

/** The key and the storage are those of the vault that holds it; before there is one, those of the job. */
const visible = (db: Kysely<Schema>, caller: Caller) => {
  const all = db
    .selectFrom('backups as b')
    .innerJoin('jobs as j', 'j.id', 'b.job_id')
    .leftJoin('vaults as v', 'v.id', 'b.vault_id')
    .innerJoin('encryption_keys as k', (join) =>
      join.on(sql`k.id`, '=', sql`coalesce(v.encryption_key_id, j.encryption_key_id)`),
    )
    .innerJoin('storages as s', (join) =>
      join.on(sql`s.id`, '=', sql`coalesce(v.storage_id, j.storage_id)`),
    )
    .where('b.org_id', '=', caller.organization)
    .where('b.deleted_at', 'is', null)
    .selectAll('b')
    .select([
      'j.name as job_name',
      'k.id as key_id',
      'k.type as key_type',
      'k.recipient as key_recipient',
      's.prefix as storage_prefix',
    ])
  const { project } = caller
  return project === null
    ? all
    : all.where('b.server_id', 'in', (q) =>
        q.selectFrom('servers').select('servers.id').where('servers.project_id', '=', project),
      )
}

const one = async (
  db: Kysely<Schema>,
  caller: Caller,
  id: BackupId,
): Promise<(BackupRow & { readonly now: Date }) | null> =>
  (await visible(db, caller)
    .where('b.id', '=', id)
    .select(sql<Date>`hf_now()`.as('now'))
    .executeTakeFirst()) ?? null

type Pending = NewBackup & { readonly id: BackupId }

const insertPending = async (
  tx: Kysely<Schema>,
  caller: Caller,
  wanted: Pending,
): Promise<void> => {
  const row = await tx
    .insertInto('backups')
    .columns([
      'id',
      'org_id',
      'job_id',
      'job_version',
      'server_id',
      'name',
      'description',
      'trigger',
      'triggered_by',
      'external_id',
    ])
    .expression((q) =>
      q
        .selectFrom('jobs as j')
        .where('j.id', '=', wanted.job)
        .where('j.org_id', '=', caller.organization)
        .where('j.deleted_at', 'is', null)
        .select([
          sql<BackupId>`${wanted.id}::uuid`.as('id'),
          'j.org_id',
          'j.id as job_id',
          'j.version',
          'j.server_id',
          sql<string>`${wanted.name}::text`.as('name'),
          sql<string>`${wanted.description ?? ''}::text`.as('description'),
          sql<'manual'>`'manual'`.as('trigger'),
          sql<{
            name: string
          }>`jsonb_build_object('name', ${caller.name}::text, 'token_id', ${caller.token}::text)`.as(
            'triggered_by',
          ),
          sql<string | null>`${wanted.external_id}::text`.as('external_id'),
        ]),
    )
    .returning('server_id')
    .executeTakeFirst()
  if (row === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: 'job', id: wanted.job })
  // Heard at the commit, by the replica that has the server's connection.
  await sql`select pg_notify(${WORK}, ${row.server_id}::text)`.execute(tx)
}

/** The index backups_one_run lets one run of a job be open: the second insert fails there, whoever races. */
const insert = async (db: Kysely<Schema>, caller: Caller, wanted: Pending): Promise<boolean> => {
  try {
    await db.transaction().execute(async (tx) => insertPending(tx, caller, wanted))
    return true
  } catch (error) {
    if (brokenConstraint(error) !== 'backups_one_run') throw error
    return false
  }
}

const openRun = async (db: Kysely<Schema>, wanted: NewBackup): Promise<BackupId | null> => {
  const row = await db
    .selectFrom('backups')
    .where('job_id', '=', wanted.job)
    .where('status', 'in', ['pending', 'running'])
    .select('id')
    .executeTakeFirst()
  return row?.id ?? null
}

export const backupsIn = (db: Kysely<Schema>, makeId: () => BackupId): Backups => ({
  list: async (caller, page, filters) => {
    let query = visible(db, caller)
    if (filters.job_id !== undefined) query = query.where(sql`b.job_id`, '=', filters.job_id)
    if (filters.server_id !== undefined)
      query = query.where(sql`b.server_id`, '=', filters.server_id)
    if (filters.status !== undefined) query = query.where('b.status', '=', filters.status)
    const id = sql.ref('b.id')
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id }), shapeBackup)
  },
  get: async (caller, id) => {
    const row = await one(db, caller, id)
    return row === null ? null : shapeBackup(row)
  },
  progress: async (caller, id) => {
    const row = await one(db, caller, id)
    return row === null ? null : shapeProgress(row, row.now)
  },
  start: async (caller, wanted) => {
    const id = makeId()
    // The run in the way may end between the two statements; then there is room for this one.
    for (let tries = 0; tries < 5; tries += 1) {
      if (await insert(db, caller, { ...wanted, id })) return { started: id }
      const running = await openRun(db, wanted)
      if (running !== null) return { running }
    }
    throw fail('CONFLICT', { problem: 'Other backups of this job keep starting and ending' })
  },
})
