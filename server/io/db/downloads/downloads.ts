import { type Kysely, type Selectable, sql } from 'kysely'
import type { DownloadId, Id } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import type {
  DownloadJob,
  DownloadProgress,
  Downloads,
  DownloadView,
  Leaving,
  NewDownload,
} from '../../../ports/downloads.ts'
import type { Claim } from '../../../ports/tasks.ts'
import { audit } from '../audit.ts'
import { hold } from '../hold.ts'
import { wantedIn, wantedRows } from '../restores/restore-shape.ts'
import type { Schema } from '../schema.ts'
import { askedBy } from '../tasks/asked.ts'
import { reasonFor } from '../tasks/failure.ts'
import { claim, heldBy, noteStatus, release, renew, settle } from '../tasks/tasks.ts'
import { type DownloadRow, preparedIn, viewOf } from './download-shape.ts'
import { NAMES } from './names.ts'

type Row = Selectable<Schema['downloads']>

export type DownloadParts = { makeId(): Id<'audit entry'> }

/** Those of backups of the caller's servers. */
const visible = (db: Kysely<Schema>, caller: Caller, id: DownloadId) => {
  const one = db
    .selectFrom('downloads as d')
    .innerJoin('backups as b', 'b.id', 'd.backup_id')
    .innerJoin('servers as s', 's.id', 'b.server_id')
    .where('d.id', '=', id)
    .where('d.org_id', '=', caller.organization)
    .where('d.deleted_at', 'is', null)
  return caller.project === null ? one : one.where('s.project_id', '=', caller.project)
}

const add = async (
  db: Kysely<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  wanted: NewDownload,
): Promise<void> =>
  db.transaction().execute(async (trx) => {
    const { id, of, name, openRequest, expiresIn } = wanted
    await hold(trx, ['backup', of.backup])
    await trx
      .insertInto('downloads')
      .values({
        ...askedBy(caller, of),
        id,
        name,
        wanted: wantedRows(wanted.wanted),
        open_request_id: openRequest,
        expires_in: expiresIn,
      })
      .execute()
    await noteStatus(trx, NAMES, id)
    await audit(trx, [caller, entry], {
      action: 'backup.downloaded',
      subject: ['backup', of.backup],
      details: { download_id: id, files: wanted.wanted.length },
    })
  })

const get = async (
  db: Kysely<Schema>,
  caller: Caller,
  id: DownloadId,
): Promise<DownloadView | null> => {
  const row: DownloadRow | undefined = await visible(db, caller, id)
    .selectAll('d')
    .select([
      sql<DownloadRow['now_is']>`
        case when d.status = 'ready' and d.expires_at <= hf_now() then 'expired' else d.status end`.as(
        'now_is',
      ),
      sql<number>`coalesce(extract(epoch from d.expires_at - hf_now()), 0)::float8`.as('seconds'),
    ])
    .executeTakeFirst()
  if (row === undefined) return null
  return viewOf(row, row.now_is === 'ready' ? await storedObjects(db, id) : [])
}

const storedObjects = async (db: Kysely<Schema>, id: DownloadId) =>
  db
    .selectFrom('download_objects')
    .select(['object_key', 'no', 'name', 'path', 'size'])
    .where('download_id', '=', id)
    .where('size', 'is not', null)
    .orderBy('no')
    .execute()

/** Of the row of `downloads` in the statement. */
const KEYS = sql<readonly string[]>`
  array(select o.object_key from download_objects o where o.download_id = downloads.id)`

/** The epoch rises: whoever works on it finds out at its next statement. */
const remove = async (
  db: Kysely<Schema>,
  caller: Caller,
  id: DownloadId,
): Promise<Leaving | null> => {
  const done = await db
    .updateTable('downloads')
    .set((is) => ({
      deleted_at: sql<Date>`hf_now()`,
      remove_after: sql<Date>`hf_now()`,
      removed_at: null,
      lease_epoch: is('lease_epoch', '+', 1),
      updated_at: sql<Date>`hf_now()`,
    }))
    .where('id', 'in', visible(db, caller, id).select('d.id'))
    .where('deleted_at', 'is', null)
    .returning(['storage_id', KEYS.as('keys')])
    .executeTakeFirst()
  return done === undefined ? null : { id, storage: done.storage_id, keys: done.keys }
}

const begin = async (
  db: Kysely<Schema>,
  held: Claim<DownloadJob>,
  { no, key, name, path }: Parameters<Downloads['begin']>[1],
): Promise<boolean> => {
  const bytes = path === null ? null : Buffer.from(path, 'latin1')
  const { rows } = await sql`
    insert into download_objects (download_id, object_key, org_id, no, name, path)
    select d.id, ${key}, d.org_id, ${no}, ${name}, ${bytes}::bytea from downloads d
    where d.id = ${held.job.id} and d.lease_epoch = ${held.epoch} and d.status = 'pending'
    for share of d
    returning no`.execute(db)
  return rows.length > 0
}

const stored = async (
  db: Kysely<Schema>,
  held: Claim<DownloadJob>,
  [key, size]: readonly [string, number],
): Promise<boolean> => {
  const { rows } = await sql`
    update download_objects o set size = ${size} from downloads d
    where d.id = ${held.job.id} and d.lease_epoch = ${held.epoch} and d.status = 'pending'
      and o.download_id = d.id and o.object_key = ${key} returning o.no`.execute(db)
  return rows.length > 0
}

const jobIn = (row: Row): Claim<DownloadJob> => ({
  epoch: row.lease_epoch,
  attempt: row.attempt,
  job: {
    id: row.id,
    organization: row.org_id,
    backup: row.backup_id,
    storage: row.storage_id,
    name: row.name,
    wanted: wantedIn(row.wanted),
    openRequest: row.open_request_id,
  },
})

/** Index: downloads_leaving. */
const leaving = async (db: Kysely<Schema>, limit: number): Promise<readonly Leaving[]> => {
  const { rows } = await sql<Pick<Row, 'id' | 'storage_id'> & { keys: readonly string[] }>`
    select id, storage_id, ${KEYS} as keys from downloads
    where removed_at is null and remove_after <= hf_now()
    order by remove_after limit ${limit}`.execute(db)
  return rows.map(({ id, storage_id, keys }) => ({ id, storage: storage_id, keys }))
}

/** While a claim lasts, its holder may still write: then its objects are looked for once more. */
const left = async (db: Kysely<Schema>, id: DownloadId): Promise<void> =>
  db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ was: string; status: string }>`
      with before as (select id, status from downloads where id = ${id} for update)
      update downloads d set
        removed_at = case when d.lease_until > hf_now() then null else hf_now() end,
        remove_after = greatest(d.remove_after, d.lease_until),
        status = case when d.status = 'ready' then 'expired' else d.status end,
        updated_at = hf_now()
      from before where d.id = before.id returning before.status as was, d.status`.execute(trx)
    const [row] = rows
    if (row !== undefined && row.was !== row.status) await noteStatus(trx, NAMES, id)
  })

export const downloadsIn = (db: Kysely<Schema>, parts: DownloadParts): Downloads => ({
  add: async (caller, wanted) => add(db, [caller, parts.makeId()], wanted),
  get: async (caller, id) => get(db, caller, id),
  remove: async (caller, id) => remove(db, caller, id),
  claim: async (limit, lease) => (await claim<Row>(db, NAMES, [limit, lease])).map(jobIn),
  renew: async (held, progress, lease) =>
    renew(db, NAMES, [heldBy(held), progress === null ? null : { ...progress }, lease]),
  release: async (held, failure, after) => release(db, NAMES, [heldBy(held), failure, after]),
  fail: async (held, failure) => {
    const values = sql`status = 'failed', error = ${reasonFor(failure)}::jsonb, remove_after = hf_now()`
    await settle(db, NAMES, [heldBy(held), values])
  },
  objects: async (held) => (await storedObjects(db, held.job.id)).map(preparedIn),
  begin: async (held, object) => begin(db, held, object),
  stored: async (held, key, size) => stored(db, held, [key, size]),
  ready: async (held, progress: DownloadProgress) => {
    const end = sql`hf_now() + expires_in * interval '1 second'`
    const values = sql`status = 'ready', error = null, ready_at = hf_now(), expires_at = ${end},
      remove_after = ${end}, progress = ${{ ...progress }}::jsonb`
    return settle(db, NAMES, [heldBy(held), values])
  },
  leaving: async (limit) => leaving(db, limit),
  left: async (id) => left(db, id),
  stays: async (id) => {
    await sql`
      update downloads set remove_after = hf_now() + interval '1 minute' where id = ${id}`.execute(
      db,
    )
  },
  forget: async () => {
    await sql`
      delete from downloads where removed_at < hf_now() - interval '30 days'`.execute(db)
  },
})
