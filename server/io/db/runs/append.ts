/** Events and lines of a run, written by whoever holds the lock on its row: that lock orders them. */
import { type Kysely, sql } from 'kysely'
import type { RunRef } from '../../../core/backup-machine.ts'
import type { RunLine } from '../../../core/run-log.ts'
import type { Schema } from '../schema.ts'
import { NAMES } from './tables.ts'

/** What an agent may say of one run; beyond it its lines are not kept. */
export const MOST_LOG_LINES = 10_000
/** With what we say ourselves while it runs: connections that come and go are not counted for ever. How it ended is always said. */
const MOST_LINES = 2 * MOST_LOG_LINES

const FULL: RunLine = {
  level: 'warn',
  message: `The log is full: of the agent's lines, only ${MOST_LOG_LINES} were kept.`,
}

export const jsonLines = (lines: readonly RunLine[]): Required<RunLine>[] =>
  lines.map(({ level, message, fields = {} }) => ({ level, message, fields }))

export const appendLines = async (
  trx: Kysely<Schema>,
  of: RunRef,
  lines: readonly RunLine[],
  isEnd = false,
): Promise<void> => {
  if (lines.length === 0) return
  const { runs, logs, of: run } = NAMES[of.kind]
  const { rows } = await sql<{ seq: number }>`
    select coalesce(max(seq), 0) as seq from ${logs} where ${run} = ${of.id}`.execute(trx)
  const last = rows[0]?.seq ?? 0
  if (!isEnd && last >= MOST_LINES) return
  const told = isEnd && last >= MOST_LOG_LINES ? [FULL, ...lines] : lines
  await sql`
    insert into ${logs} (${run}, seq, org_id, level, message, fields)
    select b.id, ${last}::bigint + l.place, b.org_id, l.line->>'level', l.line->>'message', l.line->'fields'
    from ${runs} b, jsonb_array_elements(${jsonLines(told)}::jsonb) with ordinality as l(line, place)
    where b.id = ${of.id}`.execute(trx)
}

/** Its present status, as an event. */
export const appendStatus = async (trx: Kysely<Schema>, of: RunRef): Promise<void> => {
  const { runs, events, of: run } = NAMES[of.kind]
  await sql`
    insert into ${events} (${run}, seq, org_id, type, body)
    select b.id, coalesce((select max(e.seq) from ${events} e where e.${run} = b.id), 0) + 1, b.org_id, 'status',
      jsonb_build_object('status', b.status, 'error', b.error)
    from ${runs} b where b.id = ${of.id}`.execute(trx)
}

/** For a run that was just inserted: what stands at the beginning of its events and its log. */
export const beginRun = async (trx: Kysely<Schema>, of: RunRef, line: RunLine): Promise<void> => {
  await appendLines(trx, of, [line])
  await appendStatus(trx, of)
}
