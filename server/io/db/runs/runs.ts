import { type Kysely, sql } from 'kysely'
import type { BackupId, JobId, KeyId, OrgId, ServerId, StorageId, VaultId } from '#shared/ids.ts'
import type { Held, Runs, RunScope } from '../../../ports.ts'
import type { Schema } from '../schema.ts'
import { brief } from './brief.ts'
import { changeRun } from './change.ts'
import { claimRuns } from './claim.ts'
import { log, progress } from './report.ts'
import { RUN_COLUMNS, type RunRow, runIn } from './run-row.ts'

type ScopeRow = RunRow & {
  id: BackupId
  org_id: OrgId
  server_id: ServerId
  job_id: JobId
  vault_id: VaultId | null
  storage_id: StorageId
  encryption_key_id: KeyId
  began_at: Date
}

const scopeIn = (row: ScopeRow): RunScope => ({
  backup: row.id,
  organization: row.org_id,
  server: row.server_id,
  job: row.job_id,
  storage: row.storage_id,
  key: row.encryption_key_id,
  vault: row.vault_id,
  run: runIn(row),
  startedAt: row.began_at.getTime(),
})

// A vault keeps the storage and key that it was made for, whatever becomes of the job.
const SCOPE = sql<ScopeRow>`
  select b.id, b.org_id, b.server_id, b.job_id, b.vault_id, b.status, b.lease_epoch, b.lease_link, b.lease_until,
    b.accepted_at, b.deadline, b.cancel_requested_at, b.error, coalesce(b.started_at, b.created_at) as began_at,
    coalesce(v.storage_id, j.storage_id) as storage_id, coalesce(v.encryption_key_id, j.encryption_key_id) as encryption_key_id
  from backups b
  join jobs j on j.id = b.job_id
  left join vaults v on v.id = b.vault_id`

const scope = async (
  db: Kysely<Schema>,
  backup: BackupId,
  server: ServerId,
): Promise<RunScope | null> => {
  const { rows } =
    await sql<ScopeRow>`${SCOPE} where b.id = ${backup} and b.server_id = ${server}`.execute(db)
  const [row] = rows
  return row === undefined ? null : scopeIn(row)
}

/** Index: backups_leased. The deadline is looked at here too: a detached run has no lease left that could run out. */
const overdue = async (db: Kysely<Schema>, limit: number): Promise<readonly RunScope[]> => {
  const { rows } = await sql<ScopeRow>`${SCOPE}
    where b.status = 'running' and (b.lease_until <= hf_now() or b.deadline <= hf_now())
    order by b.lease_until limit ${limit}`.execute(db)
  return rows.map(scopeIn)
}

/** Index: backups_open. A union, because an `or` over two indexes reads every backup that the server ever had. */
const heldBy = async (
  db: Kysely<Schema>,
  server: ServerId,
  listed: readonly BackupId[],
): Promise<readonly Held[]> => {
  const running = db
    .selectFrom('backups')
    .select(['id', ...RUN_COLUMNS])
    .where('server_id', '=', server)
    .where('status', '=', 'running')
  const over = db
    .selectFrom('backups')
    .select(['id', ...RUN_COLUMNS])
    .where('server_id', '=', server)
    .where('status', '!=', 'running')
    .where('id', 'in', [...listed])
  const rows = await (listed.length === 0 ? running : running.unionAll(over)).execute()
  return rows.map((row) => ({ backup: row.id, run: runIn(row) }))
}

export const runsIn = (db: Kysely<Schema>): Runs => ({
  claim: async (links, limit, decide) =>
    links.length === 0 ? [] : claimRuns(db, links, { limit, decide }),
  change: async (backup, decide) => changeRun(db, backup, decide),
  scope: async (backup, server) => scope(db, backup, server),
  heldBy: async (server, listed) => heldBy(db, server, listed),
  overdue: async (limit) => overdue(db, limit),
  brief: async (backup, vault) => brief(db, backup, vault),
  progress: async (backup, epoch, now) => progress(db, backup, epoch, now),
  log: async (backup, epoch, line) => log(db, backup, epoch, line),
})
