/** Marked backups whose time is over, and what runs left behind that nothing names. */
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { VaultId } from '#shared/ids.ts'
import { GRACE } from '../../../core/deletion.ts'
import type { Swept } from '../../../ports/deletion.ts'
import type { Schema } from '../schema.ts'
import { span } from '../tasks/tasks.ts'
import { ownVault } from './gate.ts'

/** Backups, and objects, of one transaction. */
const MOST_BACKUPS = 50
const MOST = 1000

type Sized = { size: number }

const sum = (rows: readonly Sized[]): Swept => ({
  deleted: rows.length,
  bytes: rows.reduce((all, { size }) => all + size, 0),
})

/** `gone`: a statement that takes rows away and returns object_key, org_id, size. Their objects are noted for the store. */
const noteRemovals = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  gone: RawBuilder<unknown>,
): Promise<Swept> => {
  const { rows } = await sql<Sized>`
    with gone as (${gone})
    insert into removals (vault_id, object_key, org_id, size)
    select ${vault}, object_key, org_id, size from gone on conflict do nothing returning size`.execute(
    trx,
  )
  return sum(rows)
}

/** Ended intervals with no backup left in them that could come back; what they used of a pack is remembered as a maximum. */
const freeIntervals = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  jobs: readonly string[],
): Promise<void> => {
  await sql`
    with free as (
      delete from pack_refs r
      where r.vault_id = ${vault} and r.job_id = any(${[...jobs]}::uuid[]) and r.to_seq is not null
        and not exists (
          select 1 from backups b where b.vault_id = r.vault_id and b.job_id = r.job_id
            and b.sequence >= r.from_seq and b.sequence < r.to_seq and b.purged_at is null)
      returning r.pack_no, r.live_bytes
    ), most as (
      select pack_no, max(live_bytes) as live from free group by pack_no
    )
    update packs p set most_live = m.live from most m
    where p.vault_id = ${vault} and p.pack_no = m.pack_no and p.most_live < m.live`.execute(trx)
}

/** Index: backups_marked. */
export const purge = async (
  db: Kysely<Schema>,
  vault: VaultId,
): Promise<Swept & { readonly purged: number }> =>
  db.transaction().execute(async (trx) => {
    await ownVault(trx, vault)
    const { rows } = await sql<{ id: string; job_id: string; head: number | null }>`
      update backups set purged_at = hf_now() where id in (
        select id from backups
        where vault_id = ${vault} and deleted_at <= hf_now() - ${span(GRACE)} and purged_at is null
        order by deleted_at limit ${MOST_BACKUPS} for update)
      returning id, job_id`.execute(trx)
    if (rows.length === 0) return { purged: 0, deleted: 0, bytes: 0 }
    const swept = await noteRemovals(
      trx,
      vault,
      sql`
      delete from vault_objects o using backups b
      where b.id = any(${rows.map(({ id }) => id)}::uuid[]) and o.vault_id = ${vault}
        and o.class = 'record' and o.granted_by = b.id
      returning o.object_key, o.org_id, o.size`,
    )
    await freeIntervals(trx, vault, [...new Set(rows.map(({ job_id }) => job_id))])
    return { purged: rows.length, ...swept }
  })

/** Of a run that can do nothing any more, nor is gone on with. Final states are final. */
const OVER = sql`b.status not in ('pending', 'running') and b.completed_at <= hf_now() - ${span(GRACE)}`

/** Index: packs_granted_now. An upload may have been done without anybody hearing of it. */
const neverConfirmed = (vault: VaultId): RawBuilder<unknown> => sql`
  update packs p set state = 'deleted', deleted_at = hf_now()
  where p.vault_id = ${vault} and p.pack_no in (
    select p.pack_no from packs p join backups b on b.id = p.granted_by
    where p.vault_id = ${vault} and p.state = 'granted' and ${OVER}
    order by p.pack_no limit ${MOST} for update of p)
  returning p.object_key, p.org_id, p.size`

/** Records of no backup; first objects of a vault that was never opened with them. */
const namedByNobody = (vault: VaultId): RawBuilder<unknown> => sql`
  delete from vault_objects o where o.vault_id = ${vault} and o.object_key in (
    select o.object_key from vault_objects o
    join backups b on b.id = o.granted_by join vaults v on v.id = o.vault_id
    where o.vault_id = ${vault} and ${OVER}
      and case when o.class = 'record' then b.record_key is distinct from o.object_key else v.genesis is null end
    limit ${MOST})
  returning o.object_key, o.org_id, o.size`

export const sweep = async (db: Kysely<Schema>, vault: VaultId): Promise<Swept> =>
  db.transaction().execute(async (trx) => {
    await ownVault(trx, vault)
    const packs = await noteRemovals(trx, vault, neverConfirmed(vault))
    const objects = await noteRemovals(trx, vault, namedByNobody(vault))
    await sql`
      delete from commit_pages p using backups b
      where p.backup_id = b.id and b.vault_id = ${vault} and b.status not in ('pending', 'running')`.execute(
      trx,
    )
    return { deleted: packs.deleted + objects.deleted, bytes: packs.bytes + objects.bytes }
  })
