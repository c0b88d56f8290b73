import { type Kysely, sql } from 'kysely'
import type { BackupId } from '#shared/ids.ts'
import type { ObjectClass } from '#shared/protocol/reports.ts'
import type { Commits, GrantedObject } from '../../../ports.ts'
import { objectIn } from '../objects/objects.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'
import { commitRun, outcomeOf } from './commit.ts'
import { keepFinish, pendingCommit } from './finish.ts'
import { stagePage } from './pages.ts'

type AddedRow = {
  class: ObjectClass
  no: number
  object_key: string
  size: number
  sha256: Uint8Array
  etag: string | null
}

/** Two simple statements: as one with `not exists` it depends on statistics that a new vault does not have. */
const added = async (
  db: Kysely<Schema>,
  backup: BackupId,
  packs: readonly number[],
): Promise<readonly GrantedObject[]> => {
  const used = await sql<{ pack_no: number }>`
    select r.pack_no from pack_refs r join backups b on b.vault_id = r.vault_id and b.job_id = r.job_id
    where b.id = ${backup} and r.to_seq is null and r.pack_no = ${anyOf(packs)}`.execute(db)
  const known = new Set(used.rows.map(({ pack_no }) => pack_no))
  const fresh = packs.filter((no) => !known.has(no))
  const { rows } = await sql<AddedRow>`
    select p.class, p.pack_no as no, p.object_key, p.size, p.sha256, p.etag
    from packs p join backups b on b.vault_id = p.vault_id
    where b.id = ${backup} and p.state in ('stored', 'condemned') and p.pack_no = ${anyOf(fresh)}`.execute(
    db,
  )
  return rows.map(objectIn)
}

export const commitsIn = (db: Kysely<Schema>): Commits => ({
  stage: async (backup, epoch, page) => stagePage(db, { backup, epoch }, page),
  finishing: async (backup, epoch, finish) => keepFinish(db, { backup, epoch }, finish),
  pending: async (backup) => pendingCommit(db, backup),
  added: async (backup, packs) => added(db, backup, packs),
  commit: async (backup, staged, how) => commitRun(db, { backup, staged }, how),
  outcome: async (backup) => outcomeOf(db, backup),
  discard: async (backup) => {
    await db.transaction().execute(async (trx) => {
      await trx
        .updateTable('backups')
        .set({ finish: null, updated_at: sql<Date>`hf_now()` })
        .where('id', '=', backup)
        .where('status', '=', 'running')
        .execute()
      await trx.deleteFrom('commit_pages').where('backup_id', '=', backup).execute()
    })
  },
})
