/** What a collection would do, for people: reads only. */
import { type Kysely, sql } from 'kysely'
import type { GcReport, GcVault } from '#shared/api/gc.ts'
import type { StorageId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import { reasonOf } from '../json-fields.ts'
import { isoOrNull } from '../pages.ts'
import type { Schema } from '../schema.ts'
import type { JsonObject } from '../schema-columns.ts'
import { DELETABLE_IN, NEEDED } from './needed.ts'

/** Vaults of one answer. */
const MOST_VAULTS = 1000

const KINDS = ['stored', 'needed', 'condemn', 'delete', 'waiting', 'retired'] as const
type Kind = (typeof KINDS)[number]
type Amount = GcReport[Kind]

type Row = Record<`${Kind}_objects` | `${Kind}_bytes`, number> & {
  id: string
  server_id: string
  status: GcVault['status']
  removing_objects: number
  removing_bytes: number
  unknown_objects: number
  unknown_keys: readonly string[]
  finished_at: Date | null
  run_after: Date
  error: JsonObject | null
  is_due: boolean
}

const amount = (row: Row, kind: Kind): Amount => ({
  objects: row[`${kind}_objects`],
  bytes: row[`${kind}_bytes`],
})

const amountsOf = (row: Row): Record<Kind, Amount> => ({
  stored: amount(row, 'stored'),
  needed: amount(row, 'needed'),
  condemn: amount(row, 'condemn'),
  delete: amount(row, 'delete'),
  waiting: amount(row, 'waiting'),
  retired: amount(row, 'retired'),
})

const shape = (row: Row): GcVault => ({
  vault_id: row.id,
  server_id: row.server_id,
  status: row.status,
  ...amountsOf(row),
  removing: { objects: row.removing_objects, bytes: row.removing_bytes },
  unknown_objects: row.unknown_objects,
  unknown_keys: [...row.unknown_keys],
  last_finished_at: isoOrNull(row.finished_at),
  next_at: row.run_after.toISOString(),
  error: reasonOf(row.error),
})

/** A caller of one project sees the vaults of that project's servers. */
const vaultsOf = async (
  db: Kysely<Schema>,
  caller: Caller,
  storage: StorageId,
): Promise<readonly Row[]> => {
  const { rows } = await sql<Row>`
    with mine as (
      select v.id, v.server_id from vaults v join servers s on s.id = v.server_id
      where v.storage_id = ${storage} and v.org_id = ${caller.organization}
        and (${caller.project}::uuid is null or s.project_id = ${caller.project}::uuid)
    ), looked as (
      select p.vault_id, p.size, p.state, p.retired_epoch is not null as retired, ${NEEDED} as needed,
        ${DELETABLE_IN(sql`p.vault_id`)} as deletable
      from packs p where p.vault_id in (select id from mine) and p.state in ('stored', 'condemned')
    ), kinds as (
      select vault_id, size, true as stored, needed, not needed and state = 'stored' as condemn,
        not needed and deletable as del, not needed and state = 'condemned' and not deletable as wait,
        state = 'stored' and retired as ret
      from looked
    ), sums as (
      select vault_id, count(*) as stored_objects, sum(size)::bigint as stored_bytes,
        count(*) filter (where needed) as needed_objects, coalesce(sum(size) filter (where needed), 0)::bigint as needed_bytes,
        count(*) filter (where condemn) as condemn_objects, coalesce(sum(size) filter (where condemn), 0)::bigint as condemn_bytes,
        count(*) filter (where del) as delete_objects, coalesce(sum(size) filter (where del), 0)::bigint as delete_bytes,
        count(*) filter (where wait) as waiting_objects, coalesce(sum(size) filter (where wait), 0)::bigint as waiting_bytes,
        count(*) filter (where ret) as retired_objects, coalesce(sum(size) filter (where ret), 0)::bigint as retired_bytes
      from kinds group by vault_id
    ), leaving as (
      select vault_id, count(*) as removing_objects, sum(size)::bigint as removing_bytes
      from removals where vault_id in (select id from mine) group by vault_id
    )
    select m.id, m.server_id, c.status, c.unknown_objects, c.unknown_keys, c.finished_at, c.run_after, c.error,
      c.run_after <= hf_now() as is_due, ${sql.raw(
        KINDS.flatMap((kind) => [`${kind}_objects`, `${kind}_bytes`])
          .map((name) => `coalesce(s.${name}, 0) as ${name}`)
          .join(', '),
      )}, coalesce(l.removing_objects, 0) as removing_objects, coalesce(l.removing_bytes, 0) as removing_bytes
    from mine m join collections c on c.id = m.id
    left join sums s on s.vault_id = m.id left join leaving l on l.vault_id = m.id
    order by coalesce(s.delete_bytes, 0) + coalesce(s.condemn_bytes, 0) desc, m.id`.execute(db)
  return rows
}

const total = (rows: readonly Row[], kind: Kind): Amount =>
  rows.reduce<Amount>(
    (sum, row) => ({
      objects: sum.objects + row[`${kind}_objects`],
      bytes: sum.bytes + row[`${kind}_bytes`],
    }),
    { objects: 0, bytes: 0 },
  )

/** `null` where there is no such storage. */
export const reportOf = async (
  db: Kysely<Schema>,
  caller: Caller,
  storage: StorageId,
): Promise<GcReport | null> => {
  const known = await db
    .selectFrom('storages')
    .select('id')
    .where('id', '=', storage)
    .where('org_id', '=', caller.organization)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  if (known === undefined) return null
  const rows = await vaultsOf(db, caller, storage)
  return {
    storage_id: storage,
    dry_run: true,
    status: rows.some((row) => row.status === 'working' || row.is_due) ? 'working' : 'waiting',
    stored: total(rows, 'stored'),
    needed: total(rows, 'needed'),
    condemn: total(rows, 'condemn'),
    delete: total(rows, 'delete'),
    waiting: total(rows, 'waiting'),
    retired: total(rows, 'retired'),
    vault_count: rows.length,
    vaults: rows.slice(0, MOST_VAULTS).map(shape),
  }
}
