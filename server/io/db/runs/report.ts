/** What a run says while it works: of no consequence, so one statement each, and nothing waits for it. */
import { type Kysely, sql } from 'kysely'
import type { RunRef } from '../../../core/backup-machine.ts'
import type { RestoreProgress, RunLine, RunProgress } from '../../../ports/runs.ts'
import type { Schema } from '../schema.ts'
import { NAMES, TABLES } from './tables.ts'

export const MOST_LOG_LINES = 10_000

const current = async (db: Kysely<Schema>, of: RunRef, epoch: number): Promise<boolean> => {
  const row = await db
    .selectFrom(TABLES[of.kind])
    .select('id')
    .where('id', '=', of.id)
    .where('status', '=', 'running')
    .where('lease_epoch', '=', epoch)
    .executeTakeFirst()
  return row !== undefined
}

export const progress = async (
  db: Kysely<Schema>,
  of: RunRef,
  epoch: number,
  now: RunProgress | RestoreProgress,
): Promise<boolean> => {
  const row = await db
    .updateTable(TABLES[of.kind])
    .set({ progress: { ...now, counts: { ...now.counts } }, phase: now.phase })
    .where('id', '=', of.id)
    .where('status', '=', 'running')
    .where('lease_epoch', '=', epoch)
    .returning('id')
    .executeTakeFirst()
  return row !== undefined
}

/** Lines of one run arrive on one connection, one after the other; should two meet, the later ones take the next places. */
export const log = async (
  db: Kysely<Schema>,
  of: RunRef,
  epoch: number,
  lines: readonly RunLine[],
): Promise<boolean> => {
  const { runs, logs, of: run } = NAMES[of.kind]
  const rows = lines.map(({ level, message, fields = {} }) => ({ level, message, fields }))
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const { rows: added } = await sql<{ seq: number }>`
      with last as (select coalesce(max(seq), 0) as seq from ${logs} where ${run} = ${of.id})
      insert into ${logs} (${run}, seq, org_id, level, message, fields)
      select b.id, last.seq + l.place, b.org_id, l.line->>'level', l.line->>'message', l.line->'fields'
      from ${runs} b, last, jsonb_array_elements(${rows}::jsonb) with ordinality as l(line, place)
      where b.id = ${of.id} and b.status = 'running' and b.lease_epoch = ${epoch} and last.seq + l.place <= ${MOST_LOG_LINES}
      on conflict do nothing returning seq`.execute(db)
    if (added.length > 0 || rows.length === 0) return true
    if (!(await current(db, of, epoch))) return false
  }
  return true
}
