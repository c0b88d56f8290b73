/** The logs of followed things, page by page. */
import { type Kysely, type RawBuilder, sql } from 'kysely'
import { LOG_LEVELS, type LogLevel } from '#shared/api/events.ts'
import type { Logs } from '../../ports/following.ts'
import { type LineRow, shapeLine } from './following.ts'
import { mapPage, readPage } from './pages.ts'
import type { Schema } from './schema.ts'

export type LogNames = { readonly logs: RawBuilder<unknown>; readonly of: RawBuilder<unknown> }

type Row = LineRow & { readonly of: string }

const SORTS = { seq: { by: sql.ref('l.seq'), type: 'bigint' } } as const

const from = (level: LogLevel): readonly LogLevel[] => LOG_LEVELS.slice(LOG_LEVELS.indexOf(level))

/** The two worst are spelled as the partial index …_logs_bad has them. */
const atLeast = (level: LogLevel): RawBuilder<boolean> => {
  const levels = from(level)
  if (levels.length === LOG_LEVELS.length) return sql`true`
  return sql`level in (${sql.join(levels.map((one) => sql.lit(one)))})`
}

export const logsIn = (db: Kysely<Schema>, { logs, of }: LogNames): Logs => {
  const lines = (id: string, level: LogLevel): RawBuilder<Row> => sql<Row>`(
    select ${of} as of, seq, at, level, message, fields from ${logs}
    where ${of} = ${id}::uuid and ${atLeast(level)})`
  return {
    list: async (id, page, level) => {
      const query = db.selectFrom(lines(id, level).as('l')).selectAll('l')
      return mapPage(
        await readPage(db, query, { page, sorts: SORTS, id: sql.ref('l.of') }),
        shapeLine,
      )
    },
    after: async (id, seq, { level, limit }) => {
      const rows = await db
        .selectFrom(lines(id, level).as('l'))
        .selectAll('l')
        .where('l.seq', '>', seq)
        .orderBy('l.seq')
        .limit(limit)
        .execute()
      return rows.map(shapeLine)
    },
  }
}
