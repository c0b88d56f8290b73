import { type Kysely, type Selectable, sql } from 'kysely'
import type { Followable } from '../../../ports/following.ts'
import { newest, type Newest, positionOf, storedIn } from '../following.ts'
import { NAMES } from '../runs/tables.ts'
import type { Schema } from '../schema.ts'
import { shapeRestoreProgress } from './restore-shape.ts'

type Row = Selectable<Schema['restores']> & Newest

export const followedRestores = (db: Kysely<Schema>): Followable => ({
  ...storedIn(db, NAMES.restore),
  stand: async (id) => {
    const { rows } = await sql<Row>`
      select r.*, ${newest(NAMES.restore, id)} from restores r where r.id = ${id}::uuid`.execute(db)
    const [row] = rows
    if (row === undefined) return null
    return {
      at: positionOf(row),
      over: row.status !== 'pending' && row.status !== 'running',
      progress: shapeRestoreProgress(row),
    }
  },
})
