/** A new pending backup. */
import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { BackupId } from '#shared/ids.ts'
import { backupRun } from '../../../core/backup-machine.ts'
import type { Caller } from '../../../core/caller.ts'
import { askedFor } from '../../../core/run-log.ts'
import type { NewBackup } from '../../../core/wishes.ts'
import type { Backups } from '../../../ports.ts'
import { brokenConstraint } from '../errors.ts'
import { beginRun } from '../runs/append.ts'
import type { Schema } from '../schema.ts'
import { WORK } from '../wakeups.ts'

type Pending = NewBackup & { readonly id: BackupId }

/** The lock keeps the job from being removed meanwhile. */
const insertPending = async (
  trx: Kysely<Schema>,
  caller: Caller,
  wanted: Pending,
): Promise<void> => {
  const { id, job, version, tags } = wanted
  const { rows } = await sql<{ server_id: string }>`
    insert into backups (id, org_id, job_id, job_version, server_id, name, description, label, tags, trigger,
      triggered_by, external_id)
    select ${id}::uuid, j.org_id, j.id, v.version, j.server_id, ${wanted.name}::text,
      ${wanted.description ?? ''}::text, ${wanted.label}::text, ${[...tags]}::text[], 'manual',
      jsonb_build_object('name', ${caller.name}::text, 'token_id', ${caller.token}::text), ${wanted.external_id}::text
    from jobs j
    join job_versions v on v.job_id = j.id and v.version = coalesce(${version}::integer, j.version)
    where j.id = ${job} and j.org_id = ${caller.organization} and j.deleted_at is null
    for share of j
    returning server_id`.execute(trx)
  const [row] = rows
  if (row === undefined) {
    if (version === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'job', id: job })
    throw fail('JOB_VERSION_NOT_FOUND', { job_id: job, version })
  }
  await beginRun(trx, backupRun(id), askedFor('backup', { name: caller.name, trigger: 'manual' }))
  // Heard at the commit, by the replica that has the server's connection.
  await sql`select pg_notify(${WORK}, ${row.server_id})`.execute(trx)
}

/** The index backups_one_run lets one run of a job be open: the second insert fails there, whoever races. */
const insert = async (db: Kysely<Schema>, caller: Caller, wanted: Pending): Promise<boolean> => {
  try {
    await db.transaction().execute(async (trx) => insertPending(trx, caller, wanted))
    return true
  } catch (error) {
    if (brokenConstraint(error) !== 'backups_one_run') throw error
    return false
  }
}

/** The backup of a job that is not over. */
export const openRun = async (
  db: Kysely<Schema>,
  job: NewBackup['job'],
): Promise<BackupId | null> => {
  const row = await db
    .selectFrom('backups')
    .where('job_id', '=', job)
    .where('status', 'in', ['pending', 'running'])
    .select('id')
    .executeTakeFirst()
  return row?.id ?? null
}

export const start = async (
  db: Kysely<Schema>,
  caller: Caller,
  wanted: Pending,
): ReturnType<Backups['start']> => {
  // The run in the way may end between the two statements; then there is room for this one.
  for (let tries = 0; tries < 5; tries += 1) {
    if (await insert(db, caller, wanted)) return { started: wanted.id }
    const running = await openRun(db, wanted.job)
    if (running !== null) return { running }
  }
  throw fail('CONFLICT', { problem: 'Other backups of this job keep starting and ending' })
}
