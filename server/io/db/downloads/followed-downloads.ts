import { type Kysely, type Selectable, sql } from 'kysely'
import type { Followable } from '../../../ports/following.ts'
import { newest, type Newest, positionOf, storedIn } from '../following.ts'
import type { Schema } from '../schema.ts'
import { progressIn } from './download-shape.ts'
import { NAMES } from './names.ts'

type Row = Selectable<Schema['downloads']> & Newest

export const followedDownloads = (db: Kysely<Schema>): Followable => ({
  ...storedIn(db, NAMES),
  stand: async (id) => {
    const { rows } = await sql<Row>`
      select d.*, ${newest(NAMES, id)} from downloads d
      where d.id = ${id}::uuid and d.deleted_at is null`.execute(db)
    const [row] = rows
    if (row === undefined) return null
    return {
      at: positionOf(row),
      // It has yet to expire, but nobody waits for that.
      over: row.status !== 'pending',
      progress: { status: row.status, ...progressIn(row.progress) },
    }
  },
})
