import { type Kysely, sql, type SqlBool } from 'kysely'
import type { BackupId, JobId, KeyId, OrgId, ServerId, StorageId, VaultId } from '#shared/ids.ts'
import type { Held, Runs, RunScope } from '../../../ports/runs.ts'
import type { Schema } from '../schema.ts'
import { brief } from './brief.ts'
import { changeRun } from './change.ts'
import { claimRuns } from './claim.ts'
import { log, progress } from './report.ts'
import { RUN_COLUMNS, type RunRow, runIn } from './run-row.ts'
import { type Kind, KINDS, refOf, TABLES } from './tables.ts'

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

// A vault keeps the storage and key that it was made for, whatever becomes of the job; a version keeps its own too.
const SCOPE = sql<ScopeRow>`
  select b.id, b.org_id, b.server_id, b.job_id, b.vault_id, b.status, b.lease_epoch, b.lease_link, b.lease_until,
    b.accepted_at, b.deadline, b.cancel_requested_at, b.paused_at, b.paused_left_ms, b.error,
    coalesce(b.started_at, b.created_at) as began_at,
    coalesce(v.storage_id, jv.storage_id) as storage_id, coalesce(v.encryption_key_id, jv.encryption_key_id) as encryption_key_id
  from backups b
  join job_versions jv on jv.job_id = b.job_id and jv.version = b.job_version
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

/**
 * Indexes: …_leased. The deadline is looked at here too: a detached run has no lease left that could run out.
 */
const overdue = async (db: Kysely<Schema>, limit: number): ReturnType<Runs['overdue']> => {
  const found = await Promise.all(
    KINDS.map(async (kind) => {
      const rows = await db
        .selectFrom(TABLES[kind])
        .select(['id', 'server_id', ...RUN_COLUMNS])
        .where('status', '=', 'running')
        .where(sql<SqlBool>`(lease_until <= hf_now() or deadline <= hf_now())`)
        .orderBy('lease_until')
        .limit(limit)
        .execute()
      return rows.map((row) => ({
        of: refOf(kind, row.id),
        run: runIn(row),
        server: row.server_id,
      }))
    }),
  )
  return found.flat()
}

/** Index: …_open. A union, because an `or` over two indexes reads every run that the server ever had. */
const heldOf = async (
  db: Kysely<Schema>,
  kind: Kind,
  [server, listed]: readonly [ServerId, readonly string[]],
): Promise<readonly Held[]> => {
  const running = db
    .selectFrom(TABLES[kind])
    .select(['id', ...RUN_COLUMNS])
    .where('server_id', '=', server)
    .where('status', '=', 'running')
  const over = db
    .selectFrom(TABLES[kind])
    .select(['id', ...RUN_COLUMNS])
    .where('server_id', '=', server)
    .where('status', '!=', 'running')
    .where(sql<SqlBool>`id = any(${[...listed]}::uuid[])`)
  const rows = await (listed.length === 0 ? running : running.unionAll(over)).execute()
  return rows.map((row) => ({ of: refOf(kind, row.id), run: runIn(row) }))
}

const heldBy = async (
  db: Kysely<Schema>,
  server: ServerId,
  listed: readonly string[],
): Promise<readonly Held[]> => {
  const found = await Promise.all(KINDS.map(async (kind) => heldOf(db, kind, [server, listed])))
  return found.flat()
}

const find = async (db: Kysely<Schema>, id: string, server: ServerId): Promise<Held | null> => {
  for (const kind of KINDS) {
    const row = await db
      .selectFrom(TABLES[kind])
      .select(RUN_COLUMNS)
      .where(sql<SqlBool>`id = ${id}::uuid`)
      .where('server_id', '=', server)
      .executeTakeFirst()
    if (row !== undefined) return { of: refOf(kind, id), run: runIn(row) }
  }
  return null
}

export const runsIn = (db: Kysely<Schema>): Runs => ({
  claim: async (kind, links, limit, decide) =>
    links.length === 0 ? [] : claimRuns(db, links, { kind, limit, decide }),
  change: async (of, decide, result) => changeRun(db, of, decide, result),
  find: async (id, server) => find(db, id, server),
  scope: async (backup, server) => scope(db, backup, server),
  heldBy: async (server, listed) => heldBy(db, server, listed),
  overdue: async (limit) => overdue(db, limit),
  brief: async (backup, vault) => brief(db, backup, vault),
  progress: async (of, epoch, now) => progress(db, of, epoch, now),
  log: async (of, epoch, lines) => log(db, of, epoch, lines),
})
