/** Followed things in the database: their stored events and lines, and the news of them (flow/follow.ts). */
import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { LogLine, StatusEvent } from '#shared/api/events.ts'
import { isId } from '#shared/ids.ts'
import type { Position, Stored } from '../../core/follow.ts'
import type { Followable, News } from '../../ports/following.ts'
import { reasonOf, textOf } from './json-fields.ts'
import type { RawSql } from './open.ts'
import type { Schema } from './schema.ts'
import type { JsonObject } from './schema-columns.ts'

/** Where the events and lines of one kind are; `of` is the column that says of which thing. */
export type FollowedNames = {
  readonly events: RawBuilder<unknown>
  /** `null`: it has no log. */
  readonly logs: RawBuilder<unknown> | null
  readonly of: RawBuilder<unknown>
}

type EventRow = { readonly seq: number; readonly at: Date; readonly body: JsonObject }

export type LineRow = {
  readonly seq: number
  readonly at: Date
  readonly level: LogLine['level']
  readonly message: string
  readonly fields: JsonObject
}

export const shapeLine = ({ seq, at, level, message, fields }: LineRow): LogLine => ({
  seq,
  at: at.toISOString(),
  level,
  message,
  fields,
})

const shapeStatus = ({ at, body }: EventRow): StatusEvent => ({
  status: textOf(body, 'status'),
  error: reasonOf(body['error']),
  at: at.toISOString(),
})

type Reading = { readonly id: string; readonly after: number; readonly limit: number }

const events = async (
  db: Kysely<Schema>,
  names: FollowedNames,
  { id, after, limit }: Reading,
): Promise<readonly Stored[]> => {
  const { rows } = await sql<EventRow>`
    select seq, at, body from ${names.events}
    where ${names.of} = ${id}::uuid and seq > ${after} and type = 'status' order by seq limit ${limit}`.execute(
    db,
  )
  return rows.map((row) => ({
    track: 'status',
    seq: row.seq,
    at: row.at.getTime(),
    data: shapeStatus(row),
  }))
}

const lines = async (
  db: Kysely<Schema>,
  { logs, of }: FollowedNames,
  { id, after, limit }: Reading,
): Promise<readonly Stored[]> => {
  if (logs === null) return []
  const { rows } = await sql<LineRow>`
    select seq, at, level, message, fields from ${logs}
    where ${of} = ${id}::uuid and seq > ${after} order by seq limit ${limit}`.execute(db)
  return rows.map((row) => ({
    track: 'log',
    seq: row.seq,
    at: row.at.getTime(),
    data: shapeLine(row),
  }))
}

export const storedIn = (db: Kysely<Schema>, names: FollowedNames): Pick<Followable, 'stored'> => ({
  stored: async (id, at, limit) => ({
    status: await events(db, names, { id, after: at.status, limit }),
    log: await lines(db, names, { id, after: at.log, limit }),
  }),
})

/** The newest number of each track, as columns `status_no` and `log_no` of a statement about the thing `id`. */
export const newest = ({ events, logs, of }: FollowedNames, id: string): RawBuilder<unknown> => sql`
  coalesce((select max(seq) from ${events} where ${of} = ${id}::uuid), 0) as status_no,
  ${logs === null ? sql`0` : sql`coalesce((select max(seq) from ${logs} where ${of} = ${id}::uuid), 0)`} as log_no`

export type Newest = {
  readonly status_no: number
  readonly log_no: number
  readonly progress_no: number
}

export const positionOf = ({ status_no, log_no, progress_no }: Newest): Position => ({
  status: status_no,
  log: log_no,
  progress: progress_no,
})

/** Payload: the id of what has a new event or line (hf_tell in 0003_events.sql). */
const NEWS = 'hf_news'

export const newsIn = (sql: Pick<RawSql, 'listen'>): News => ({
  listen: async (heard) => {
    const listening = await sql.listen(NEWS, (id) => {
      if (isId(id)) heard(id)
    })
    return { [Symbol.asyncDispose]: async () => listening.unlisten() }
  },
})
