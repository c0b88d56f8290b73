import { type Kysely, sql } from 'kysely'
import type { BackupId } from '#shared/ids.ts'
import type { Schema } from '../schema.ts'

const COUNTERS = 2 ** 32

/**
 * One update, whose row lock on the vault makes the block unique. A raised catalog epoch starts the counter anew: its
 * numbers are new whatever an older database handed out.
 */
export const takeNumbers = async (
  db: Kysely<Schema>,
  { backup, epoch }: { readonly backup: BackupId; readonly epoch: number },
  count: number,
): Promise<number | null> => {
  const { rows } = await sql<{ catalog_epoch: number; next: number }>`
    update vaults v set
      next_pack_counter = case when o.catalog_epoch > v.catalog_epoch then 1 else v.next_pack_counter end + ${count}::bigint,
      catalog_epoch = greatest(o.catalog_epoch, v.catalog_epoch)
    from backups b, organizations o
    where b.id = ${backup} and b.status = 'running' and b.lease_epoch = ${epoch} and v.id = b.vault_id
      and o.id = v.org_id
    returning v.catalog_epoch, v.next_pack_counter as next`.execute(db)
  const [row] = rows
  return row === undefined ? null : row.catalog_epoch * COUNTERS + row.next - count
}
