/** What a run says while it works: of no consequence, so one statement each, and nothing waits for it. */
import { type Kysely, sql } from 'kysely'
import type { BackupId } from '#shared/ids.ts'
import type { RunProgress, Runs } from '../../../ports.ts'
import type { Schema } from '../schema.ts'

export const MOST_LOG_LINES = 10_000

const current = async (db: Kysely<Schema>, backup: BackupId, epoch: number): Promise<boolean> => {
  const row = await db
    .selectFrom('backups')
    .select('id')
    .where('id', '=', backup)
    .where('status', '=', 'running')
    .where('lease_epoch', '=', epoch)
    .executeTakeFirst()
  return row !== undefined
}

export const progress = async (
  db: Kysely<Schema>,
  backup: BackupId,
  epoch: number,
  now: RunProgress,
): Promise<boolean> => {
  const row = await db
    .updateTable('backups')
    .set({ progress: { ...now, counts: { ...now.counts } }, phase: now.phase })
    .where('id', '=', backup)
    .where('status', '=', 'running')
    .where('lease_epoch', '=', epoch)
    .returning('id')
    .executeTakeFirst()
  return row !== undefined
}

/** Lines of one run arrive on one connection, one after the other; should two meet, the later one takes the next place. */
export const log = async (
  db: Kysely<Schema>,
  backup: BackupId,
  epoch: number,
  line: Parameters<Runs['log']>[2],
): Promise<boolean> => {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const { rows } = await sql<{ seq: number }>`
      with last as (select coalesce(max(seq), 0) as seq from backup_logs where backup_id = ${backup})
      insert into backup_logs (backup_id, seq, org_id, level, message)
      select b.id, last.seq + 1, b.org_id, ${line.level}, ${line.message}
      from backups b, last
      where b.id = ${backup} and b.status = 'running' and b.lease_epoch = ${epoch} and last.seq < ${MOST_LOG_LINES}
      on conflict do nothing returning seq`.execute(db)
    if (rows.length > 0) return true
    if (!(await current(db, backup, epoch))) return false
  }
  return true
}
