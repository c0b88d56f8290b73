import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { BackupId } from '#shared/ids.ts'
import { CommitFinish, Progress } from '#shared/protocol/reports.ts'
import { parser, Type } from '#shared/schema.ts'
import type { Finish, PendingCommit } from '../../../ports.ts'
import { objectIn } from '../objects/objects.ts'
import type { Schema } from '../schema.ts'
import type { JsonObject } from '../schema-columns.ts'
import { pagesOf } from './pages.ts'

const { counts, bytes_source, bytes_new, bytes_stored, error_count, errors } =
  CommitFinish.properties
const parseFinish = parser(
  Type.Object({ counts, bytes_source, bytes_new, bytes_stored, error_count, errors }),
)
const { bytes_read, phase } = Progress.properties
const parseProgress = parser(
  Type.Object({ counts, bytes_source, bytes_new, bytes_stored, bytes_read, phase }),
)

const NOTHING: Finish = {
  counts: { files: 0, directories: 0, others: 0, changed: 0, unchanged: 0, skipped: 0, errors: 0 },
  bytes_source: 0,
  bytes_new: 0,
  bytes_stored: 0,
  error_count: 0,
  errors: [],
}

export const keepFinish = async (
  db: Kysely<Schema>,
  { backup, epoch }: { readonly backup: BackupId; readonly epoch: number },
  finish: Finish,
): Promise<boolean> => {
  const stored = {
    ...finish,
    counts: { ...finish.counts },
    errors: finish.errors.map((e) => ({ ...e })),
  }
  const row = await db
    .updateTable('backups')
    .set({ finish: stored, updated_at: sql<Date>`hf_now()` })
    .where('id', '=', backup)
    .where('status', '=', 'running')
    .where('lease_epoch', '=', epoch)
    .returning('id')
    .executeTakeFirst()
  return row !== undefined
}

/** What the agent said last: when it finished, else with its last progress. */
const finishIn = (finish: JsonObject | null, progress: JsonObject): Finish => {
  const said = parseFinish(finish)
  if ('ok' in said) return said.ok
  const last = parseProgress(progress)
  if (!('ok' in last)) return NOTHING
  return { ...last.ok, error_count: last.ok.counts.errors, errors: [] }
}

export const pendingCommit = async (
  db: Kysely<Schema>,
  backup: BackupId,
): Promise<PendingCommit> => {
  const row = await db
    .selectFrom('backups')
    .innerJoin('vaults', 'vaults.id', 'backups.vault_id')
    .leftJoin('job_heads', (join) =>
      join
        .onRef('job_heads.vault_id', '=', 'backups.vault_id')
        .onRef('job_heads.job_id', '=', 'backups.job_id'),
    )
    .select(['backups.finish', 'backups.progress', 'job_heads.sequence', 'vaults.genesis_key'])
    .select('vaults.unwritten_at')
    .where('backups.id', '=', backup)
    .executeTakeFirst()
  if (row === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: 'backup', id: backup })
  const record = await db
    .selectFrom('vault_objects')
    .select(['class', 'no', 'object_key', 'size', 'sha256', 'etag'])
    .where('granted_by', '=', backup)
    .where('class', '=', 'record')
    .orderBy(sql`(stored_at is null), granted_at desc, object_key desc`)
    .limit(1)
    .executeTakeFirst()
  return {
    vaultOpened: row.genesis_key !== null && row.unwritten_at === null,
    sequence: (row.sequence ?? 0) + 1,
    pages: await pagesOf(db, backup),
    finish: finishIn(row.finish, row.progress),
    record: record === undefined ? null : objectIn(record),
  }
}
