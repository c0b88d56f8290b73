/** What keeps a pack, as conditions on a row `p` of packs. shared/decisions/0012-deletion-behind-one-gate.md, "States". */
import { type RawBuilder, sql, type SqlBool } from 'kysely'
import type { VaultId } from '#shared/ids.ts'
import { GRACE, RESUMABLE } from '../../../core/deletion.ts'
import { span } from '../tasks/tasks.ts'

type Condition = RawBuilder<SqlBool>

/** Backup `b` lies in interval `r`. Index: backups_sequence. */
export const WITHIN = sql<SqlBool>`b.vault_id = r.vault_id and b.job_id = r.job_id
  and b.sequence >= r.from_seq and (r.to_seq is null or b.sequence < r.to_seq)`

/** Index: the primary key of pack_refs. */
const usedByKept: Condition = sql`exists (
  select 1 from pack_refs r join backups b on ${WITHIN}
  where r.vault_id = p.vault_id and r.pack_no = p.pack_no and b.deleted_at is null)`

/** A run that is not over builds upon the head of its job, also where that backup is marked. Index: backups_in_vault. */
const builtUpon: Condition = sql`exists (
  select 1 from pack_refs r join backups b on b.vault_id = r.vault_id and b.job_id = r.job_id
  where r.vault_id = p.vault_id and r.pack_no = p.pack_no and r.to_seq is null
    and b.status in ('pending', 'running'))`

const storedToGoOn: Condition = sql`exists (
  select 1 from backups b where b.id = p.granted_by and b.sequence is null
    and (b.status in ('pending', 'running') or (b.completed_at > hf_now() - ${span(RESUMABLE)}
      and not exists (select 1 from job_heads h
        where h.vault_id = p.vault_id and h.job_id = b.job_id and h.updated_at > b.completed_at))))`

export const NEEDED: Condition = sql`(${usedByKept} or ${builtUpon} or ${storedToGoOn})`

/** Below every floor, and the grace period is over. A floor that is null is of a run without a vault. */
export const DELETABLE_IN = (vault: RawBuilder<unknown>): Condition => sql`(
  p.state = 'condemned'
  and not exists (select 1 from vaults u where u.id = ${vault} and u.unread_at is not null)
  and p.condemned_at <= hf_now() - ${span(GRACE)}
  and p.condemned_epoch <= coalesce((select min(f.gc_floor) from (
    select gc_floor from backups where vault_id = ${vault} and status in ('pending', 'running')
    union all
    select gc_floor from restores where vault_id = ${vault} and status in ('pending', 'running')
    union all
    select gc_floor from downloads where vault_id = ${vault} and status = 'pending' and deleted_at is null
    union all
    select gc_floor from verifications where vault_id = ${vault} and status in ('pending', 'running')) f), p.condemned_epoch))`

export const DELETABLE = (vault: VaultId): Condition => DELETABLE_IN(sql`${vault}`)
