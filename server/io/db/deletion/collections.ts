/** The claims of collections, and the statements of their steps. */
import { type Kysely, type Selectable, sql } from 'kysely'
import type { StorageId, VaultId } from '#shared/ids.ts'
import { DAY, HOUR } from '#shared/units.ts'
import type { Collected, CollectionJob, Collections } from '../../../ports/deletion.ts'
import type { Claim } from '../../../ports/tasks.ts'
import type { Schema } from '../schema.ts'
import { reasonFor } from '../tasks/failure.ts'
import { claim, heldBy, release, renew, settle, span, type TaskNames } from '../tasks/tasks.ts'
import { condemn, remove, retire } from './packs.ts'
import { purge, sweep } from './sweep.ts'

/** Between two collections of a vault that nobody asked for; and between two looks at the names in its bucket. */
const EVERY = HOUR
const LISTED_EVERY = DAY

const NAMES: TaskNames = {
  tasks: sql.table('collections'),
  events: null,
  of: sql.ref('id'),
  open: sql`true`,
  busy: 'working',
}

type Row = Selectable<Schema['collections']>

const jobsOf = async (
  db: Kysely<Schema>,
  rows: readonly Row[],
): Promise<readonly Claim<CollectionJob>[]> => {
  if (rows.length === 0) return []
  const found = await sql<{ id: VaultId; storage_id: StorageId; due: boolean }>`
    select c.id, v.storage_id, coalesce(c.listed_at <= hf_now() - ${span(LISTED_EVERY)}, true) as due
    from collections c join vaults v on v.id = c.id
    where c.id = any(${rows.map(({ id }) => id)}::uuid[])`.execute(db)
  const byId = new Map(found.rows.map((row) => [row.id, row]))
  return rows.flatMap(({ id, lease_epoch, attempt }) => {
    const row = byId.get(id)
    if (row === undefined) return []
    const job = { id, storage: row.storage_id, isListingDue: row.due }
    return [{ job, epoch: lease_epoch, attempt }]
  })
}

/** What was asked for while it was under way may have come too late for it: then there is another one at once. */
const END = sql`status = 'waiting', attempt = 0, started_at = null, asked_at = null,
  run_after = case when asked_at > started_at then hf_now() else hf_now() + ${span(EVERY)} end`

export const collectionsIn = (db: Kysely<Schema>): Collections => ({
  claim: async (limit, lease) => jobsOf(db, await claim<Row>(db, NAMES, [limit, lease])),
  renew: async (held, progress, lease) =>
    renew(db, NAMES, [heldBy(held), progress === null ? null : { ...progress }, lease]),
  release: async (held, failure, after) => release(db, NAMES, [heldBy(held), failure, after]),
  fail: async (held, failure) => {
    await settle(db, NAMES, [heldBy(held), sql`${END}, error = ${reasonFor(failure)}::jsonb`])
  },
  done: async (held, collected: Collected) =>
    settle(db, NAMES, [
      heldBy(held),
      sql`${END}, error = null, result = ${{ ...collected }}::jsonb, finished_at = hf_now()`,
    ]),
  purge: async (vault) => purge(db, vault),
  sweep: async (vault) => sweep(db, vault),
  condemn: async (vault, after) => condemn(db, vault, after),
  retire: async (vault, choose) => retire(db, vault, choose),
  remove: async (vault, after) => remove(db, vault, after),
  removals: async (vault, limit) => {
    const rows = await db
      .selectFrom('removals')
      .select('object_key')
      .where('vault_id', '=', vault)
      .orderBy('object_key')
      .limit(limit)
      .execute()
    return rows.map(({ object_key }) => object_key)
  },
  removed: async (vault, keys) => {
    await sql`
      delete from removals where vault_id = ${vault} and object_key = any(${[...keys]}::text[])`.execute(
      db,
    )
  },
  unknown: async (vault, keys) => {
    const { rows } = await sql<{ key: string }>`
      select k.key from unnest(${[...keys]}::text[]) as k(key)
      where not exists (select 1 from packs p
          where p.vault_id = ${vault} and p.object_key = k.key and p.state <> 'deleted')
        and not exists (select 1 from vault_objects o where o.vault_id = ${vault} and o.object_key = k.key)
        and not exists (select 1 from removals r where r.vault_id = ${vault} and r.object_key = k.key)
      order by k.key`.execute(db)
    return rows.map(({ key }) => key)
  },
  listed: async (vault, count, keys) => {
    await sql`
      update collections set unknown_objects = ${count}, unknown_keys = ${[...keys]}::text[], listed_at = hf_now()
      where id = ${vault}`.execute(db)
  },
})
