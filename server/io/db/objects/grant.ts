import { type Kysely, sql, type Transaction } from 'kysely'
import type { BackupId, OrgId, VaultId } from '#shared/ids.ts'
import type { Wanted } from '#shared/protocol/reports.ts'
import type { Ask, Known, Scope } from '../../../core/grant.ts'
import type { GrantedObject, Objects } from '../../../ports.ts'
import type { Schema } from '../schema.ts'

const COUNTERS = 2 ** 32

type GrantParameters = Parameters<Objects['grant']>
type Asked = GrantParameters[0]
type KeyOf = GrantParameters[2]

type RunRow = {
  org_id: OrgId
  vault_id: VaultId
  began_at: Date
  granted_objects: number
  granted_bytes: number
  opened: boolean
  catalog_epoch: number
  next_pack_counter: number
  head: number
  pages: number
  pages_of: number | null
  records: number
}

/** The lock on the run's row keeps two requests of one run from spending the same allowance. */
const lockRun = async (trx: Transaction<Schema>, ask: Asked): Promise<RunRow | null> => {
  const { rows } = await sql<RunRow>`
    select b.org_id, b.vault_id, coalesce(b.started_at, b.created_at) as began_at, b.granted_objects, b.granted_bytes,
      v.genesis is not null and v.unwritten_at is null as opened, v.catalog_epoch, v.next_pack_counter,
      coalesce((select h.sequence from job_heads h where h.vault_id = b.vault_id and h.job_id = b.job_id), 0) as head,
      (select count(*) from commit_pages p where p.backup_id = b.id) as pages,
      (select (p.body ->> 'of')::int from commit_pages p where p.backup_id = b.id limit 1) as pages_of,
      (select count(*) from vault_objects r where r.granted_by = b.id and r.class = 'record') as records
    from backups b join vaults v on v.id = b.vault_id
    where b.id = ${ask.backup} and b.status = 'running' and b.lease_epoch = ${ask.epoch}
    for update of b`.execute(trx)
  return rows[0] ?? null
}

const scopeOf = (row: RunRow): Scope => {
  const base = row.catalog_epoch * COUNTERS
  return {
    numbers: { first: base + 1, next: base + row.next_pack_counter },
    opened: row.opened,
    sequence: row.head + 1,
    pagesComplete: row.pages > 0 && row.pages === row.pages_of,
    records: row.records,
    granted: { objects: row.granted_objects, bytes: row.granted_bytes },
  }
}

type KnownRow = {
  place: number
  state: 'granted' | 'stored' | 'condemned' | 'deleted'
  object_key: string
  class: Wanted['class']
  size: number
  sha256: Uint8Array
  etag: string | null
}

/** Packs and trees are known by their number, the other objects by what this run asked for before. */
const knownOf = async (
  trx: Transaction<Schema>,
  vault: VaultId,
  { backup, wanted }: Asked,
): Promise<ReadonlyMap<number, KnownRow>> => {
  const names = wanted.map(({ class: kind, no, sha256 }, place) => ({
    place,
    kind,
    no,
    sha256: Buffer.from(sha256, 'base64url').toString('hex'),
  }))
  const { rows } = await sql<KnownRow>`
    with asked as (
      select * from jsonb_to_recordset(${names}::jsonb) as a(place int, kind text, no bigint, sha256 text)
    )
    select a.place, p.state, p.object_key, p.class, p.size, p.sha256, p.etag
    from asked a join packs p on p.vault_id = ${vault} and p.pack_no = a.no
    where a.kind in ('pack', 'tree')
    union all
    select a.place, case when o.stored_at is null then 'granted' else 'stored' end, o.object_key, o.class, o.size,
      o.sha256, o.etag
    from asked a join vault_objects o on o.granted_by = ${backup} and o.class = a.kind and o.no = a.no
      and o.sha256 = decode(a.sha256, 'hex')
    where a.kind not in ('pack', 'tree')`.execute(trx)
  return new Map(rows.map((row) => [row.place, row]))
}

// A number that was granted for the other class is taken, whatever its bytes.
const knownIn = (wanted: Wanted, row: KnownRow | undefined): Known | null => {
  if (row === undefined) return null
  const gone = row.state === 'condemned' || row.state === 'deleted'
  return {
    state: gone ? 'gone' : row.state === 'stored' ? 'stored' : 'granted',
    size: row.size,
    sha256: row.class === wanted.class ? Buffer.from(row.sha256).toString('base64url') : '',
  }
}

type Fresh = {
  no: number
  kind: string
  key: string
  size: number
  sha256: string
}

const insertFresh = async (
  trx: Transaction<Schema>,
  { org_id, vault_id }: RunRow,
  [backup, fresh]: readonly [BackupId, readonly Fresh[]],
): Promise<void> => {
  if (fresh.length === 0) return
  const bytes = fresh.reduce((sum, { size }) => sum + size, 0)
  await sql`
    with asked as (
      select * from jsonb_to_recordset(${fresh}::jsonb) as a(no bigint, kind text, key text, size bigint, sha256 text)
    ), packed as (
      insert into packs (vault_id, pack_no, org_id, class, object_key, size, sha256, granted_by)
      select ${vault_id}, no, ${org_id}, kind, key, size, decode(sha256, 'hex'), ${backup}::uuid
      from asked where kind in ('pack', 'tree')
    ), others as (
      insert into vault_objects (vault_id, object_key, org_id, class, no, size, sha256, granted_by)
      select ${vault_id}, key, ${org_id}, kind, no, size, decode(sha256, 'hex'), ${backup}::uuid
      from asked where kind not in ('pack', 'tree')
    )
    update backups set granted_objects = granted_objects + ${fresh.length}::bigint,
      granted_bytes = granted_bytes + ${bytes}::bigint
    where id = ${backup}`.execute(trx)
}

/** Which of them exist, decided by the caller under the lock; the fresh ones are stored before any of them is signed. */
export const grantObjects = async (
  db: Kysely<Schema>,
  ask: Asked,
  { decide, keyOf }: { readonly decide: GrantParameters[1]; readonly keyOf: KeyOf },
): ReturnType<Objects['grant']> =>
  db.transaction().execute(async (trx) => {
    const row = await lockRun(trx, ask)
    if (row === null) return 'lost'
    const known = await knownOf(trx, row.vault_id, ask)
    const asks: Ask[] = ask.wanted.map((wanted, place) => ({
      wanted,
      known: knownIn(wanted, known.get(place)),
    }))
    const decided = decide(scopeOf(row), asks)
    if ('problem' in decided) return decided
    const fresh = new Map<string, Fresh>()
    const at = { startedAt: row.began_at.getTime(), records: row.records }
    const granted = ask.wanted.map((wanted, place): GrantedObject => {
      const before = known.get(place)
      const { class: kind, no, size, sha256 } = wanted
      const twice = fresh.get(`${kind} ${no}`)
      const key = before?.object_key ?? twice?.key ?? keyOf(row.vault_id, wanted, at)
      if (before === undefined && twice === undefined)
        fresh.set(`${kind} ${no}`, {
          no,
          kind,
          key,
          size,
          sha256: Buffer.from(sha256, 'base64url').toString('hex'),
        })
      return { class: kind, no, key, size, sha256, etag: before?.etag ?? null }
    })
    await insertFresh(trx, row, [ask.backup, [...fresh.values()]])
    return granted
  })
