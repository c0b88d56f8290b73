import { type Kysely, sql } from 'kysely'
import type { BackupId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import type { Backups } from '../../../ports.ts'
import { countRows, mapPage, readRows, totalsOf } from '../pages.ts'
import type { Schema } from '../schema.ts'
import { matching, SORTS, withColumns } from './rows.ts'
import { type BackupRow, shapeBackup, shapeProgress } from './shape.ts'
import { start } from './start.ts'

const one = async (
  db: Kysely<Schema>,
  caller: Caller,
  id: BackupId,
): Promise<(BackupRow & { readonly now: Date }) | null> =>
  (await withColumns(matching(db, caller, { id }))
    .select(sql<Date>`hf_now()`.as('now'))
    .executeTakeFirst()) ?? null

const list =
  (db: Kysely<Schema>): Backups['list'] =>
  async (caller, page, query) => {
    const rows = matching(db, caller, query)
    const id = sql.ref('b.id')
    const found = await readRows(db, withColumns(rows), { page, sorts: SORTS, id })
    const { total, bytes } = await countRows(db, rows, sql`coalesce(b.bytes_source, 0)`)
    return mapPage({ ...found, ...totalsOf(total), totalBytes: bytes }, shapeBackup)
  }

export const backupsIn = (db: Kysely<Schema>, makeId: () => BackupId): Backups => ({
  list: list(db),
  get: async (caller, id) => {
    const row = await one(db, caller, id)
    return row === null ? null : shapeBackup(row)
  },
  progress: async (caller, id) => {
    const row = await one(db, caller, id)
    return row === null ? null : shapeProgress(row, row.now)
  },
  start: async (caller, wanted) => start(db, caller, { ...wanted, id: makeId() }),
  change: async (caller, id, { name, description }) => {
    const row = await one(db, caller, id)
    if (row === null) return null
    if (name === undefined && description === undefined) return shapeBackup(row)
    await db
      .updateTable('backups')
      .set({
        ...(name === undefined ? {} : { name }),
        ...(description === undefined ? {} : { description }),
        updated_at: sql<Date>`hf_now()`,
      })
      .where('id', '=', id)
      .execute()
    const changed = await one(db, caller, id)
    return changed === null ? null : shapeBackup(changed)
  },
})
