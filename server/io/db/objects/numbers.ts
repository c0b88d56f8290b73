import { type Kysely, sql } from 'kysely'
import type { BackupId } from '#shared/ids.ts'
import type { NumbersWish } from '../../../ports.ts'
import type { Schema } from '../schema.ts'

const COUNTERS = 2 ** 32
/** So far may an agent be ahead of an older database: 2^24 packs are 256 TiB. It could use up the numbers of its own vault. */
const MOST_AHEAD = 2 ** 24

/**
 * One update, whose row lock on the vault makes the block unique. A raised catalog epoch starts the counter anew: its
 * numbers are new whatever an older database handed out. Without that, the only writer of the vault knows what a database
 * that was restored has forgotten: numbers go on above `above`, where that is of the same epoch.
 */
export const takeNumbers = async (
  db: Kysely<Schema>,
  { backup, epoch }: { readonly backup: BackupId; readonly epoch: number },
  { count, above }: NumbersWish,
): Promise<number | null> => {
  const { rows } = await sql<{ catalog_epoch: number; next: number }>`
    update vaults v set
      next_pack_counter = ${count}::bigint + case
        when o.catalog_epoch > v.catalog_epoch then 1
        when ${above}::bigint - v.catalog_epoch * ${COUNTERS}::bigint - v.next_pack_counter between 0 and ${MOST_AHEAD}::bigint
          then ${above}::bigint - v.catalog_epoch * ${COUNTERS}::bigint + 1
        else v.next_pack_counter end,
      catalog_epoch = greatest(o.catalog_epoch, v.catalog_epoch)
    from backups b, organizations o
    where b.id = ${backup} and b.status = 'running' and b.lease_epoch = ${epoch} and v.id = b.vault_id
      and o.id = v.org_id
    returning v.catalog_epoch, v.next_pack_counter as next`.execute(db)
  const [row] = rows
  return row === undefined ? null : row.catalog_epoch * COUNTERS + row.next - count
}
