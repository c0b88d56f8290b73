import { type Kysely, type Selectable, sql } from 'kysely'
import type { Followable } from '../../ports/following.ts'
import { shapeProgress } from './backups/shape.ts'
import { newest, type Newest, positionOf, storedIn } from './following.ts'
import { NAMES } from './runs/tables.ts'
import type { Schema } from './schema.ts'

type Row = Selectable<Schema['backups']> & Newest & { readonly now: Date }

export const followedBackups = (db: Kysely<Schema>): Followable => ({
  ...storedIn(db, NAMES.backup),
  stand: async (id) => {
    const { rows } = await sql<Row>`
      select b.*, hf_now() as now, ${newest(NAMES.backup, id)}
      from backups b where b.id = ${id}::uuid and b.deleted_at is null`.execute(db)
    const [row] = rows
    if (row === undefined) return null
    return {
      at: positionOf(row),
      over: row.status !== 'pending' && row.status !== 'running',
      progress: shapeProgress(row, row.now),
    }
  },
})
