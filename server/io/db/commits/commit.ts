import { type Kysely, sql, type Transaction } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { BackupId, JobId, OrgId, VaultId } from '#shared/ids.ts'
import { backupRun } from '../../../core/backup-machine.ts'
import { type IntervalPlan, referenced, type Staged } from '../../../core/commit.ts'
import { shareVault } from '../deletion/gate.ts'
import { backupSum } from '../../../core/run-log.ts'
import type { CommitOutcome, Commits } from '../../../ports.ts'
import { RUN_COLUMNS, type RunRow, type RunUpdate, runIn, storeRun } from '../runs/run-row.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'

type How = Parameters<Commits['commit']>[2]
type Place = {
  readonly org: OrgId
  readonly vault: VaultId
  readonly job: JobId
  readonly backup: BackupId
}

const placeOf = async (trx: Transaction<Schema>, backup: BackupId): Promise<Place> => {
  const row = await trx
    .selectFrom('backups')
    .select(['org_id', 'vault_id', 'job_id'])
    .where('id', '=', backup)
    .executeTakeFirst()
  if (row?.vault_id === undefined || row.vault_id === null)
    throw fail('RESOURCE_NOT_FOUND', { resource: 'backup in a vault', id: backup })
  return { org: row.org_id, vault: row.vault_id, job: row.job_id, backup }
}

/** Locked first, so that commits of one chain follow one another (lock order: 0001_start.sql). */
const lockHead = async (trx: Transaction<Schema>, at: Place): Promise<number> => {
  await trx
    .insertInto('job_heads')
    .values({ vault_id: at.vault, job_id: at.job, org_id: at.org })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const head = await trx
    .selectFrom('job_heads')
    .select('sequence')
    .where('vault_id', '=', at.vault)
    .where('job_id', '=', at.job)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return head.sequence
}

/** `gc_epoch`: what its agent was told of; the floor that it held. */
type LockedRun = RunRow & { readonly sequence: number | null; readonly gc_epoch: number }

const lockRun = async (trx: Transaction<Schema>, at: Place): Promise<LockedRun> => {
  const row = await trx
    .selectFrom('backups')
    .select([...RUN_COLUMNS, 'sequence', 'gc_floor'])
    .where('id', '=', at.backup)
    .forUpdate()
    .executeTakeFirstOrThrow()
  return { ...row, gc_epoch: row.gc_floor ?? 0 }
}

/**
 * What a statement of changes counts on without a word: the open intervals that it does not mention. `condemned` are to be
 * revived with the rest; `deleted` ended at the very number that this commit gets (deletion/packs.ts, markDeleted).
 */
const builtUpon = async (
  trx: Transaction<Schema>,
  at: Place,
  [staged, sequence]: readonly [Staged, number],
): Promise<{ readonly condemned: readonly number[]; readonly deleted: readonly number[] }> => {
  if (staged.kind === 'whole') return { condemned: [], deleted: [] }
  const { rows: condemned } = await sql<{ pack_no: number }>`
    select p.pack_no from packs p join pack_refs r on r.vault_id = p.vault_id and r.pack_no = p.pack_no
    where p.vault_id = ${at.vault} and p.state = 'condemned' and r.job_id = ${at.job} and r.to_seq is null`.execute(
    trx,
  )
  const { rows: deleted } = await sql<{ pack_no: number }>`
    select pack_no from pack_refs
    where vault_id = ${at.vault} and job_id = ${at.job} and to_seq = ${sequence}`.execute(trx)
  const unsaid = (rows: readonly { readonly pack_no: number }[]): readonly number[] =>
    rows.map(({ pack_no }) => pack_no).filter((no) => !staged.live.has(no))
  return { condemned: unsaid(condemned), deleted: unsaid(deleted) }
}

/** Locks what is referenced by rising number, revives what was condemned, and names what is not stored. */
const lockPacks = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  packs: readonly number[],
): Promise<readonly number[]> => {
  const { rows } = await sql<{ pack_no: number; state: string }>`
    select pack_no, state from packs
    where vault_id = ${vault} and pack_no = ${anyOf(packs)} order by pack_no for update`.execute(
    trx,
  )
  const states = new Map(rows.map((row) => [row.pack_no, row.state]))
  const condemned = packs.filter((no) => states.get(no) === 'condemned')
  if (condemned.length > 0)
    await sql`
      update packs set state = 'stored', condemned_at = null, condemned_epoch = null
      where vault_id = ${vault} and pack_no = ${anyOf(condemned)}`.execute(trx)
  return packs.filter((no) => !['stored', 'condemned'].includes(states.get(no) ?? 'absent'))
}

const openIntervals = async (
  trx: Transaction<Schema>,
  at: Place,
  staged: Staged,
): Promise<ReadonlyMap<number, number>> => {
  const only =
    staged.kind === 'whole' ? sql`` : sql`and pack_no = ${anyOf([...staged.live.keys()])}`
  const { rows } = await sql<{ pack_no: number; live_bytes: number }>`
    select pack_no, live_bytes from pack_refs
    where vault_id = ${at.vault} and job_id = ${at.job} and to_seq is null ${only}`.execute(trx)
  return new Map(rows.map((row) => [row.pack_no, row.live_bytes]))
}

const applyPlan = async (
  trx: Transaction<Schema>,
  at: Place,
  [plan, sequence]: readonly [IntervalPlan, number],
): Promise<void> => {
  if (plan.close.length > 0)
    await sql`
      update pack_refs set to_seq = ${sequence}
      where vault_id = ${at.vault} and job_id = ${at.job} and to_seq is null
        and pack_no = ${anyOf(plan.close)}`.execute(trx)
  if (plan.open.length > 0)
    await sql`
      insert into pack_refs (vault_id, pack_no, job_id, from_seq, live_bytes, org_id)
      select ${at.vault}, no, ${at.job}, ${sequence}::bigint, live, ${at.org}
      from unnest(${plan.open.map(([no]) => no)}::bigint[], ${plan.open.map(([, live]) => live)}::bigint[]) as o(no, live)`.execute(
      trx,
    )
}

const resultOf = async (
  trx: Transaction<Schema>,
  at: Place,
  [how, sequence]: readonly [How, number],
): Promise<RunUpdate<'backups'> & { readonly record_sha256: Uint8Array }> => {
  const record = await trx
    .selectFrom('vault_objects')
    .select(['size', 'sha256', 'header', 'etag'])
    .where('vault_id', '=', at.vault)
    .where('object_key', '=', how.record)
    .where('stored_at', 'is not', null)
    .executeTakeFirst()
  if (record === undefined) throw fail('MISSING_OBJECT', { key: how.record })
  const { finish } = how
  return {
    sequence,
    parent_id: sql<BackupId | null>`(select h.backup_id from job_heads h where h.vault_id = ${at.vault} and h.job_id = ${at.job})`,
    record_key: how.record,
    record_size: record.size,
    record_sha256: record.sha256,
    record_header: record.header,
    record_etag: record.etag,
    counts: { ...finish.counts },
    error_count: finish.error_count,
    errors: sql<readonly never[]>`${finish.errors.map((one) => ({ ...one }))}::jsonb`,
    bytes_source: finish.bytes_source,
    bytes_new: finish.bytes_new,
    bytes_stored: finish.bytes_stored,
    finish: null,
  }
}

const advanceHead = async (
  trx: Transaction<Schema>,
  at: Place,
  head: { readonly sequence: number; readonly gcEpoch: number; readonly record: Uint8Array },
): Promise<void> => {
  await trx
    .updateTable('job_heads')
    .set({
      sequence: head.sequence,
      backup_id: at.backup,
      record_sha256: head.record,
      gc_epoch: head.gcEpoch,
      updated_at: sql<Date>`hf_now()`,
    })
    .where('vault_id', '=', at.vault)
    .where('job_id', '=', at.job)
    .execute()
  await trx.deleteFrom('commit_pages').where('backup_id', '=', at.backup).execute()
}

/** The answer of a run that is committed already, or `null`. */
export const outcomeOf = async (
  db: Kysely<Schema>,
  backup: BackupId,
): Promise<CommitOutcome | null> => {
  const row = await db
    .selectFrom('backups')
    .select(['backups.sequence', 'backups.gc_floor'])
    .where('backups.id', '=', backup)
    .where('backups.sequence', 'is not', null)
    .executeTakeFirst()
  if (row?.sequence === undefined || row.sequence === null) return null
  return { done: 'committed', sequence: row.sequence, gcEpoch: row.gc_floor ?? 0 }
}

/** FORMAT.md, "Commit, and deleting without reading": all of it, or nothing. */
export const commitRun = async (
  db: Kysely<Schema>,
  { backup, staged }: { readonly backup: BackupId; readonly staged: Staged },
  how: How,
): Promise<CommitOutcome> =>
  db.transaction().execute(async (trx): Promise<CommitOutcome> => {
    const at = await placeOf(trx, backup)
    await shareVault(trx, at.vault)
    const sequence = (await lockHead(trx, at)) + 1
    const row = await lockRun(trx, at)
    if (row.sequence !== null)
      return { done: 'committed', sequence: row.sequence, gcEpoch: row.gc_epoch }
    const before = runIn(row)
    const [run, verdict] = how.decide(before)
    if (verdict !== 'changed') return { done: 'lost' }
    const below = await builtUpon(trx, at, [staged, sequence])
    const absent = await lockPacks(trx, at.vault, [...referenced(staged), ...below.condemned])
    const missing = [...absent, ...below.deleted]
    if (missing.length > 0) return { done: 'missing', packs: missing }
    const plan = how.plan(await openIntervals(trx, at, staged), staged)
    await applyPlan(trx, at, [plan, sequence])
    const result = await resultOf(trx, at, [how, sequence])
    await storeRun(trx, backupRun(backup), [before, run], {
      result,
      lines: backupSum(how.finish),
    })
    const head = { sequence, gcEpoch: row.gc_epoch, record: result.record_sha256 }
    await advanceHead(trx, at, head)
    return { done: 'committed', sequence, gcEpoch: row.gc_epoch }
  })
