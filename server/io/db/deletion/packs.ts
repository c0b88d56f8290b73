/**
 * Packs that nothing needs: condemned, retired, deleted. Candidates are looked for without a lock; what is done is decided
 * under the gate by a statement that begins after it was taken, so that it sees every commit before it and none comes between.
 */
import { type Kysely, sql, type Transaction } from 'kysely'
import type { VaultId } from '#shared/ids.ts'
import { type packsToRetire, SMALL_PACK, USERS_GO_WITHIN } from '../../../core/deletion.ts'
import type { Swept } from '../../../ports/deletion.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'
import { span } from '../tasks/tasks.ts'
import { ownVault, raiseEpoch } from './gate.ts'
import { DELETABLE, NEEDED, WITHIN } from './needed.ts'

/** Packs that one look goes over, and rows that one transaction changes: some 50 ms each. */
const RANGE = 5000
const MOST = 1000

type Numbers = { pack_no: number }[]

const numbersIn = (rows: Numbers): number[] => rows.map(({ pack_no }) => pack_no)

/** The last number of the range that begins above `after`; null when there is none. Index: the primary key of packs. */
const endOfRange = async (
  db: Kysely<Schema>,
  vault: VaultId,
  after: number,
): Promise<number | null> => {
  const { rows } = await sql<{ last: number | null }>`
    select max(pack_no) as last from (
      select pack_no from packs where vault_id = ${vault} and pack_no > ${after}
      order by pack_no limit ${RANGE}) one`.execute(db)
  return rows[0]?.last ?? null
}

/** Locked by rising number, so that what follows sees them as they are and stays so. */
const lock = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  packs: readonly number[],
): Promise<void> => {
  await sql`
    select pack_no from packs where vault_id = ${vault} and pack_no = ${anyOf(packs)}
    order by pack_no for update`.execute(trx)
}

export const condemnUnder = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  candidates: readonly number[],
): Promise<number> => {
  await ownVault(trx, vault)
  await lock(trx, vault, candidates)
  const { rows } = await sql<{ pack_no: number }>`
    select p.pack_no from packs p
    where p.vault_id = ${vault} and p.pack_no = ${anyOf(candidates)} and p.state = 'stored'
      and not ${NEEDED}`.execute(trx)
  if (rows.length === 0) return 0
  const epoch = await raiseEpoch(trx, vault)
  await sql`
    update packs set state = 'condemned', condemned_at = hf_now(), condemned_epoch = ${epoch}
    where vault_id = ${vault} and pack_no = ${anyOf(numbersIn(rows))}`.execute(trx)
  return rows.length
}

export const condemn = async (
  db: Kysely<Schema>,
  vault: VaultId,
  after: number,
): Promise<{ readonly condemned: number; readonly next: number | null }> => {
  const last = await endOfRange(db, vault, after)
  if (last === null) return { condemned: 0, next: null }
  const { rows } = await sql<{ pack_no: number }>`
    select p.pack_no from packs p
    where p.vault_id = ${vault} and p.pack_no > ${after} and p.pack_no <= ${last} and p.state = 'stored'
      and not ${NEEDED} order by p.pack_no limit ${MOST}`.execute(db)
  const found = numbersIn(rows)
  const next = found.length < MOST ? last : (found.at(-1) ?? last)
  if (found.length === 0) return { condemned: 0, next }
  const condemned = await db.transaction().execute(async (trx) => condemnUnder(trx, vault, found))
  return { condemned, next }
}

/**
 * The rows are *deleted*, and no interval of theirs is open any more: it ends where the next backup of its job begins, and
 * that backup's commit is told (server/io/db/commits). Their objects are noted for the store. The vault is owned.
 */
export const markDeleted = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  packs: readonly number[],
): Promise<number> => {
  await closeIntervals(trx, vault, packs)
  const { rows } = await sql<{ size: number }>`
    with gone as (
      update packs set state = 'deleted', deleted_at = hf_now()
      where vault_id = ${vault} and pack_no = ${anyOf(packs)}
      returning object_key, org_id, size
    )
    insert into removals (vault_id, object_key, org_id, size)
    select ${vault}, object_key, org_id, size from gone
    on conflict do nothing returning size`.execute(trx)
  return rows.reduce((sum, { size }) => sum + size, 0)
}

/** Index: pack_refs_open, or the primary key. Heads stand still, for the vault is owned. */
export const closeIntervals = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  packs: readonly number[],
): Promise<void> => {
  await sql`
    update pack_refs r set to_seq = h.sequence + 1 from job_heads h
    where r.vault_id = ${vault} and r.pack_no = ${anyOf(packs)} and r.to_seq is null
      and h.vault_id = r.vault_id and h.job_id = r.job_id`.execute(trx)
}

const reviveNeeded = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  packs: readonly number[],
): Promise<number> => {
  const { rows } = await sql`
    update packs p set state = 'stored', condemned_at = null, condemned_epoch = null
    where p.vault_id = ${vault} and p.pack_no = ${anyOf(packs)} and p.state = 'condemned' and ${NEEDED}
    returning p.pack_no`.execute(trx)
  return rows.length
}

export const removeUnder = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  candidates: readonly number[],
): Promise<Swept & { readonly revived: number }> => {
  await ownVault(trx, vault)
  await lock(trx, vault, candidates)
  const revived = await reviveNeeded(trx, vault, candidates)
  const { rows } = await sql<{ pack_no: number }>`
    select p.pack_no from packs p
    where p.vault_id = ${vault} and p.pack_no = ${anyOf(candidates)} and ${DELETABLE(vault)}`.execute(
    trx,
  )
  const bytes = rows.length === 0 ? 0 : await markDeleted(trx, vault, numbersIn(rows))
  return { revived, deleted: rows.length, bytes }
}

/** Index: packs_condemned_now. */
export const remove = async (
  db: Kysely<Schema>,
  vault: VaultId,
  after: number,
): Promise<Swept & { readonly revived: number; readonly next: number | null }> => {
  const { rows } = await sql<{ pack_no: number }>`
    select p.pack_no from packs p
    where p.vault_id = ${vault} and p.pack_no > ${after} and p.state = 'condemned'
      and (${DELETABLE(vault)} or ${NEEDED}) order by p.pack_no limit ${MOST}`.execute(db)
  const found = numbersIn(rows)
  if (found.length === 0) return { deleted: 0, bytes: 0, revived: 0, next: null }
  const swept = await db.transaction().execute(async (trx) => removeUnder(trx, vault, found))
  return { ...swept, next: found.at(-1) ?? null }
}

type UsedRow = {
  pack_no: number
  size: number
  live: number
  most: number
  held: boolean
}

/** `held`: an older backup than the newest of its job, which is not known to go soon. */
const HELD = sql`exists (
  select 1 from pack_refs r join backups b on ${WITHIN}
  join job_heads h on h.vault_id = b.vault_id and h.job_id = b.job_id
  where r.vault_id = p.vault_id and r.pack_no = p.pack_no and b.deleted_at is null and b.sequence < h.sequence
    and (b.pinned or b.expires_at is null or b.expires_at > hf_now() + ${span(USERS_GO_WITHIN)}))`

const mostlyUsed = async (db: Kysely<Schema>, vault: VaultId): Promise<readonly UsedRow[]> => {
  const { rows } = await sql<UsedRow>`
    with used as (
      select r.pack_no, sum(r.live_bytes) filter (where r.to_seq is null) as live, max(r.live_bytes) as most
      from pack_refs r where r.vault_id = ${vault} group by r.pack_no
    )
    select p.pack_no, p.size, u.live::bigint as live, greatest(u.most, p.most_live)::bigint as most, ${HELD} as held
    from used u join packs p on p.vault_id = ${vault} and p.pack_no = u.pack_no
    where u.live is not null and p.state = 'stored' and p.retired_epoch is null
      and (2 * u.live < greatest(u.most, p.most_live) or p.size < ${SMALL_PACK})
    order by p.pack_no`.execute(db)
  return rows
}

/** Index: the primary key of packs. */
const smallOnes = async (db: Kysely<Schema>, vault: VaultId): Promise<number> => {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from packs
    where vault_id = ${vault} and state = 'stored' and retired_epoch is null and size < ${SMALL_PACK}`.execute(
    db,
  )
  return rows[0]?.count ?? 0
}

/** Nothing is lost by a wrong choice: runs read some files again. So it is chosen without a lock. */
export const retire = async (
  db: Kysely<Schema>,
  vault: VaultId,
  choose: typeof packsToRetire,
): Promise<number> => {
  const used = await mostlyUsed(db, vault)
  const chosen = choose(
    used.map((row) => ({
      no: row.pack_no,
      size: row.size,
      live: row.live,
      most: row.most,
      isHeld: row.held,
    })),
    await smallOnes(db, vault),
  )
  if (chosen.length === 0) return 0
  return db.transaction().execute(async (trx) => {
    await ownVault(trx, vault)
    const epoch = await raiseEpoch(trx, vault)
    const { rows } = await sql`
      update packs set retired_epoch = ${epoch}
      where vault_id = ${vault} and pack_no = ${anyOf(chosen)} and state = 'stored' and retired_epoch is null
      returning pack_no`.execute(trx)
    return rows.length
  })
}
