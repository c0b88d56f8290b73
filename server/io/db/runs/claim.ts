import { type Kysely, sql, type Transaction } from 'kysely'
import type { ServerId } from '#shared/ids.ts'
import { SECOND } from '#shared/units.ts'
import type { Link } from '../../../ports.ts'
import type { Held, Runs } from '../../../ports/runs.ts'
import type { Schema } from '../schema.ts'
import { type RunRow, runIn, storeRun } from './run-row.ts'
import { type Kind, NAMES, refOf } from './tables.ts'

type Candidate = RunRow & {
  id: string
  server_id: ServerId
  now: Date
  timeout_seconds: number | null
}

/** How long a run may take at most, where it says so itself. */
const TIMEOUTS = {
  backup: sql`(select (v.settings->>'timeout_seconds')::integer from job_versions v
    where v.job_id = b.job_id and v.version = b.job_version)`,
  restore: sql`null::integer`,
} as const

/**
 * Runs that wait, and offers that were never heard, of servers whose newest connection is one of `links`. `skip locked`:
 * two replicas never wait for each other and never get the same row. Indexes: …_pending, …_leased.
 */
const candidates = async (
  trx: Transaction<Schema>,
  kind: Kind,
  [links, limit]: readonly [readonly Link[], number],
): Promise<readonly Candidate[]> => {
  const ours = links.map(({ server, joins }) => ({ server, joins }))
  const { rows } = await sql<Candidate>`
    select b.id, b.server_id, b.status, b.lease_epoch, b.lease_link, b.lease_until, b.accepted_at, b.deadline,
      b.cancel_requested_at, b.paused_at, b.paused_left_ms, b.error, hf_now() as now, ${TIMEOUTS[kind]} as timeout_seconds
    from ${NAMES[kind].runs} b
    join jsonb_to_recordset(${ours}::jsonb) as l(server uuid, joins bigint) on l.server = b.server_id
    join servers s on s.id = b.server_id and s.join_counter = l.joins and s.revoked_at is null
    where b.paused_at is null and ((b.status = 'pending' and b.run_after <= hf_now())
      or (b.status = 'running' and b.accepted_at is null and (b.lease_link is null or b.lease_link < l.joins)))
    order by b.run_after, b.id
    limit ${limit}
    for update of b skip locked`.execute(trx)
  return rows
}

type How = {
  readonly kind: Kind
  readonly limit: number
  readonly decide: Parameters<Runs['claim']>[3]
}

export const claimRuns = async (
  db: Kysely<Schema>,
  links: readonly Link[],
  { kind, limit, decide }: How,
): ReturnType<Runs['claim']> =>
  db.transaction().execute(async (trx) => {
    const byServer = new Map(links.map((link) => [link.server, link]))
    const held: (Held & { readonly link: Link })[] = []
    for (const row of await candidates(trx, kind, [links, limit])) {
      const link = byServer.get(row.server_id)
      if (link === undefined) continue
      const before = runIn(row)
      const timeout = row.timeout_seconds === null ? null : row.timeout_seconds * SECOND
      const [run, verdict] = decide(before, link, row.now.getTime(), timeout)
      if (verdict !== 'changed') continue
      const of = refOf(kind, row.id)
      await storeRun(trx, of, [before, run])
      held.push({ of, run, link })
    }
    return held
  })
