import { type Kysely, sql } from 'kysely'
import type { BackupId, Id, OrgId, StorageId, VaultId } from '#shared/ids.ts'
import type { ObjectClass } from '#shared/protocol/reports.ts'
import type { Sample, SpotChecks } from '../../../ports/spot-checks.ts'
import { ownVault } from '../deletion/gate.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'
import { verifyForStorage } from '../verifications/of-storage.ts'
import { objectIn } from './objects.ts'

type Row = {
  class: ObjectClass
  no: number
  object_key: string
  size: number
  sha256: Uint8Array
  etag: string | null
}

/** Index: pack_refs_open, one step a point. */
const nearPoints = async (
  db: Kysely<Schema>,
  [vault, job]: Parameters<SpotChecks['sample']>,
  points: readonly number[],
): Promise<readonly Row[]> => {
  const { rows } = await sql<Row>`
    with ends as (
      select min(pack_no) as low, max(pack_no) as high from pack_refs
      where vault_id = ${vault} and job_id = ${job} and to_seq is null
    ), near as (
      select distinct one.pack_no from ends
      cross join jsonb_array_elements_text(${[...points]}::jsonb) as point
      cross join lateral (
        select pack_no from pack_refs
        where vault_id = ${vault} and job_id = ${job} and to_seq is null
          and pack_no >= low + floor((high - low) * point::float8)::bigint
        order by pack_no limit 1
      ) one
    )
    select p.class, p.pack_no as no, p.object_key, p.size, p.sha256, p.etag
    from near join packs p on p.vault_id = ${vault} and p.pack_no = near.pack_no
    where p.state in ('stored', 'condemned')`.execute(db)
  return rows
}

const sample = async (
  db: Kysely<Schema>,
  ...[vault, job, points]: Parameters<SpotChecks['sample']>
): Promise<Sample> => {
  const heads = await sql<Row & { id: BackupId }>`
    select b.id, 'record' as class, b.sequence as no, b.record_key as object_key, b.record_size as size,
      b.record_sha256 as sha256, b.record_etag as etag
    from job_heads h join backups b on b.id = h.backup_id
    where h.vault_id = ${vault} and h.job_id = ${job} and b.record_key is not null
      and b.record_lost_at is null and b.deleted_at is null`.execute(db)
  const own = await sql<Row>`
    select o.class, o.no, o.object_key, o.size, o.sha256, o.etag
    from vaults v join vault_objects o on o.vault_id = v.id
    where v.id = ${vault} and v.genesis is not null and v.unwritten_at is null
      and o.class in ('signer', 'key') and o.stored_at is not null`.execute(db)
  const [head] = heads.rows
  return {
    record: head === undefined ? null : { backup: head.id, object: objectIn(head) },
    own: own.rows.map(objectIn),
    packs: (await nearPoints(db, [vault, job, points], points)).map(objectIn),
  }
}

/** Index: the primary key of packs. */
const packs: (
  db: Kysely<Schema>,
  ...at: Parameters<SpotChecks['packs']>
) => ReturnType<SpotChecks['packs']> = async (db, vault, after, limit) => {
  const { rows } = await sql<Row & { lost: boolean }>`
    select class, pack_no as no, object_key, size, sha256, etag, lost_at is not null as lost from packs
    where vault_id = ${vault} and pack_no > ${after}
      and (state in ('stored', 'condemned') or lost_at is not null) and etag is not null
    order by pack_no limit ${limit}`.execute(db)
  return rows.map((row) => ({ ...objectIn(row), lost: row.lost }))
}

const found = async (db: Kysely<Schema>, vault: VaultId, nos: readonly number[]): Promise<void> => {
  if (nos.length === 0) return
  await db.transaction().execute(async (trx) => {
    await ownVault(trx, vault)
    await sql`
      with locked as (
        select pack_no from packs
        where vault_id = ${vault} and pack_no = ${anyOf(nos)} and lost_at is not null
        order by pack_no for update
      )
      update packs p set state = 'stored', lost_at = null, deleted_at = null, condemned_at = null, condemned_epoch = null
      from locked where p.vault_id = ${vault} and p.pack_no = locked.pack_no`.execute(trx)
  })
}

/** Verifications that one look asks for: the others show what is lost when they are verified next. */
const MOST_AFFECTED = 1000

type Affected = {
  id: BackupId
  org_id: OrgId
  storage_id: StorageId
  gc_epoch: number
}

/** Kept backups that need what is lost, and are not being verified, nor were since. */
const affectedIn = async (db: Kysely<Schema>, vault: VaultId): Promise<readonly Affected[]> => {
  const { rows } = await sql<Affected>`
    with lost as (
      select r.job_id, r.from_seq, r.to_seq, max(p.lost_at) as at
      from packs p join pack_refs r on r.vault_id = p.vault_id and r.pack_no = p.pack_no
      where p.vault_id = ${vault} and p.lost_at is not null
      group by r.job_id, r.from_seq, r.to_seq
    ), hit as (
      select b.id, max(r.at) as at from lost r join backups b on b.vault_id = ${vault} and b.job_id = r.job_id
        and b.sequence >= r.from_seq and (r.to_seq is null or b.sequence < r.to_seq)
      group by b.id
      union all
      select b.id, b.record_lost_at from backups b where b.vault_id = ${vault} and b.record_lost_at is not null
    )
    select b.id, b.org_id, v.storage_id, v.gc_epoch
    from backups b join vaults v on v.id = b.vault_id
    where b.id in (select id from hit) and b.deleted_at is null and b.status in ('completed', 'partial')
      and not exists (select 1 from verifications x where x.backup_id = b.id and x.level = 'objects'
        and (x.status in ('pending', 'running') or x.created_at > (select max(at) from hit where hit.id = b.id)))
    order by b.created_at desc, b.id desc limit ${MOST_AFFECTED}`.execute(db)
  return rows
}

const verify = async (
  db: Kysely<Schema>,
  vault: VaultId,
  makeId: () => Id<'verification'>,
): Promise<number> => {
  const affected = await affectedIn(db, vault)
  for (const { id: backup, org_id, storage_id, gc_epoch } of affected) {
    const at = { org_id, backup_id: backup, vault_id: vault, storage_id, gc_floor: gc_epoch }
    await db
      .transaction()
      .execute(async (trx) => verifyForStorage(trx, { ...at, id: makeId(), level: 'objects' }))
  }
  return affected.length
}

export const spotChecksIn = (db: Kysely<Schema>, makeId: () => Id<'verification'>): SpotChecks => ({
  sample: async (vault, job, points) => sample(db, vault, job, points),
  packs: async (vault, after, limit) => packs(db, vault, after, limit),
  found: async (vault, nos) => found(db, vault, nos),
  unwritten: async (vault) => {
    await sql`update vaults set unwritten_at = hf_now(), updated_at = hf_now()
      where id = ${vault} and genesis is not null and unwritten_at is null`.execute(db)
  },
  recordLost: async (backup) => {
    await sql`update backups set record_lost_at = hf_now() where id = ${backup} and record_lost_at is null`.execute(
      db,
    )
  },
  verifyAffected: async (vault) => verify(db, vault, makeId),
})
