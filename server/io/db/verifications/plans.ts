/** Verifications that storages have planned: which are due is found by index, however many backups there are. */
import { type Kysely, sql, type Transaction } from 'kysely'
import type { VerificationLevel } from '#shared/api/verifications.ts'
import type { BackupId, JobId, OrgId, StorageId, VaultId, VerificationId } from '#shared/ids.ts'
import type { Schema } from '../schema.ts'
import { verifyForStorage } from './of-storage.ts'

type Plan = {
  readonly storage_id: StorageId
  readonly job_id: JobId
  readonly org_id: OrgId
  readonly level: VerificationLevel
  readonly every: number
}

type Newest = {
  readonly id: BackupId
  readonly vault_id: VaultId
  readonly gc_epoch: number
  readonly key_type: 'managed' | 'customer'
}

/** Jobs that have a committed backup there begin at once; what is planned already is at most as far away as is wanted. */
export const planFor = async (
  trx: Transaction<Schema>,
  storage: StorageId,
  everySeconds: number | null,
): Promise<void> => {
  if (everySeconds === null) {
    await trx.deleteFrom('verification_plans').where('storage_id', '=', storage).execute()
    return
  }
  await sql`
    insert into verification_plans (storage_id, job_id, org_id, due_at)
    select distinct ${storage}::uuid, b.job_id, b.org_id, hf_now()
    from backups b join vaults v on v.id = b.vault_id
    where v.storage_id = ${storage}::uuid and b.status in ('completed', 'partial') and b.deleted_at is null
    on conflict (storage_id, job_id) do update
      set due_at = least(verification_plans.due_at, hf_now() + ${everySeconds} * interval '1 second')`.execute(
    trx,
  )
}

/** Index: backups_by_job. It stays while the transaction lasts. */
const newestOf = async (
  trx: Transaction<Schema>,
  { storage_id, job_id }: Plan,
): Promise<Newest | null> => {
  const { rows } = await sql<Newest>`
    select b.id, b.vault_id, v.gc_epoch, k.type as key_type from backups b
      join vaults v on v.id = b.vault_id
      join encryption_keys k on k.id = v.encryption_key_id
      join jobs j on j.id = b.job_id
    where b.job_id = ${job_id} and v.storage_id = ${storage_id} and b.status in ('completed', 'partial')
      and b.deleted_at is null and j.deleted_at is null
    order by b.created_at desc, b.id desc limit 1 for no key update of b`.execute(trx)
  return rows[0] ?? null
}

/** Nobody can ask the holder of a customer's key by a plan: such a backup is read in full, but not opened. */
const levelFor = ({ level }: Plan, { key_type }: Newest): VerificationLevel =>
  level === 'restore' && key_type === 'customer' ? 'full' : level

const startOne = async (
  trx: Transaction<Schema>,
  plan: Plan,
  id: VerificationId,
): Promise<void> => {
  const newest = await newestOf(trx, plan)
  const of = sql`storage_id = ${plan.storage_id} and job_id = ${plan.job_id}`
  if (newest === null) {
    // Its next backup plans anew.
    await sql`delete from verification_plans where ${of}`.execute(trx)
    return
  }
  await verifyForStorage(trx, {
    id,
    org_id: plan.org_id,
    backup_id: newest.id,
    vault_id: newest.vault_id,
    storage_id: plan.storage_id,
    level: levelFor(plan, newest),
    gc_floor: newest.gc_epoch,
  })
  await sql`
    update verification_plans set due_at = hf_now() + ${plan.every} * interval '1 second'
    where ${of}`.execute(trx)
}

/** Two replicas take different ones. */
const takeOne = async (db: Kysely<Schema>, makeId: () => VerificationId): Promise<boolean> =>
  db.transaction().execute(async (trx) => {
    const { rows } = await sql<Plan>`
      select p.storage_id, p.job_id, p.org_id, s.verify_level as level, s.verify_every_seconds as every
      from verification_plans p join storages s on s.id = p.storage_id
      where p.due_at <= hf_now() and s.verify_level is not null
      order by p.due_at limit 1 for update of p skip locked`.execute(trx)
    const [plan] = rows
    if (plan === undefined) return false
    await startOne(trx, plan, makeId())
    return true
  })

export const startDue = async (
  db: Kysely<Schema>,
  makeId: () => VerificationId,
  limit: number,
): Promise<number> => {
  let done = 0
  while (done < limit && (await takeOne(db, makeId))) done += 1
  return done
}
