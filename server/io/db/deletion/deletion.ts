import { type Kysely, sql } from 'kysely'
import type { BackupId, Id } from '#shared/ids.ts'
import type { Backups } from '../../../ports.ts'
import type { Deletion } from '../../../ports/deletion.ts'
import { audit } from '../audit.ts'
import type { Schema } from '../schema.ts'
import { removeBackup, restoreBackup } from './backups.ts'
import { reportOf } from './report.ts'

export type DeletionParts = {
  makeId(): Id<'audit entry'>
  readonly backups: Pick<Backups, 'get'>
}

const ask =
  (db: Kysely<Schema>, parts: DeletionParts): Deletion['ask'] =>
  async (caller, storage) =>
    db.transaction().execute(async (trx) => {
      const { rows } = await sql`
        select id from storages
        where id = ${storage} and org_id = ${caller.organization} and deleted_at is null`.execute(
        trx,
      )
      if (rows.length === 0) return false
      await sql`
        update collections c set asked_at = hf_now(), run_after = least(c.run_after, hf_now()), updated_at = hf_now()
        from vaults v where v.id = c.id and v.storage_id = ${storage}`.execute(trx)
      await audit(trx, [caller, parts.makeId()], {
        action: 'storage.collected',
        subject: ['storage', storage],
      })
      return true
    })

export const deletionIn = (db: Kysely<Schema>, parts: DeletionParts): Deletion => ({
  remove: async (caller, id) => removeBackup(db, [caller, parts.makeId()], id),
  restore: async (caller, id: BackupId) =>
    (await restoreBackup(db, [caller, parts.makeId()], id)) ? parts.backups.get(caller, id) : null,
  ask: ask(db, parts),
  report: async (caller, storage) => reportOf(db, caller, storage),
})
