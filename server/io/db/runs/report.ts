/** What a run says while it works: of no consequence, so one statement each, and nothing waits for it. */
import { type Kysely, sql } from 'kysely'
import type { RunRef } from '../../../core/backup-machine.ts'
import type { RunLine } from '../../../core/run-log.ts'
import type { RestoreProgress, RunProgress } from '../../../ports/runs.ts'
import { brokenConstraint } from '../errors.ts'
import type { Schema } from '../schema.ts'
import { jsonLines, MOST_LOG_LINES } from './append.ts'
import { NAMES, TABLES } from './tables.ts'

/** More than two connections never write to one log. */
const MOST_MEETINGS = 5

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

/** The lock is that under which the run itself is changed, which may also say something in its log. */
const added = async (
  db: Kysely<Schema>,
  [of, epoch]: readonly [RunRef, number],
  lines: readonly RunLine[],
): Promise<boolean> => {
  const { runs, logs, of: run } = NAMES[of.kind]
  const done = await sql`
    with last as (select coalesce(max(seq), 0) as seq from ${logs} where ${run} = ${of.id})
    insert into ${logs} (${run}, seq, org_id, level, message, fields)
    select b.id, last.seq + l.place, b.org_id, l.line->>'level', l.line->>'message', l.line->'fields'
    from ${runs} b, last, jsonb_array_elements(${jsonLines(lines)}::jsonb) with ordinality as l(line, place)
    where b.id = ${of.id} and b.status = 'running' and b.lease_epoch = ${epoch}
      and last.seq + l.place <= ${MOST_LOG_LINES}
    for share of b
    returning seq`.execute(db)
  return done.rows.length > 0
}

/**
 * Lines of one run arrive on one connection, one after the other. Should two statements meet, the key of the log lets one of
 * them in whole, and the other takes the next places: readers count on numbers without a hole.
 */
export const log = async (
  db: Kysely<Schema>,
  of: RunRef,
  epoch: number,
  lines: readonly RunLine[],
): Promise<boolean> => {
  for (let attempt = 0; attempt < MOST_MEETINGS; attempt += 1) {
    try {
      return (await added(db, [of, epoch], lines)) || (await current(db, of, epoch))
    } catch (error) {
      if (brokenConstraint(error) !== `${of.kind}_logs_pkey`) throw error
    }
  }
  return true
}
