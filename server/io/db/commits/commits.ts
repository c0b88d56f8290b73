import { type Kysely, sql } from 'kysely'
import type { BackupId } from '#shared/ids.ts'
import type { ObjectClass } from '#shared/protocol/reports.ts'
import type { Commits, GrantedObject } from '../../../ports.ts'
import { objectIn } from '../objects/objects.ts'
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

const added = async (
  db: Kysely<Schema>,
  backup: BackupId,
  packs: readonly number[],
): Promise<readonly GrantedObject[]> => {
  const { rows } = await sql<AddedRow>`
    select p.class, p.pack_no as no, p.object_key, p.size, p.sha256, p.etag
    from backups b
    cross join (select no::bigint as no from jsonb_array_elements_text(${[...packs]}::jsonb) as n(no)) asked
    join packs p on p.vault_id = b.vault_id and p.pack_no = asked.no and p.state in ('stored', 'condemned')
    where b.id = ${backup} and not exists (
      select 1 from pack_refs r
      where r.vault_id = b.vault_id and r.job_id = b.job_id and r.pack_no = asked.no and r.to_seq is null)`.execute(
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
