import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { Id, ServerId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import { restoreRun } from '../../../core/backup-machine.ts'
import { askedFor } from '../../../core/run-log.ts'
import { pagesOf } from '../../../core/selection.ts'
import type { InTheWay, NewRestore, Restores } from '../../../ports/restores.ts'
import { audit } from '../audit.ts'
import { hold } from '../hold.ts'
import { addOpenRequest, type AddParts } from '../open-requests/add.ts'
import { beginRun } from '../runs/append.ts'
import type { Schema } from '../schema.ts'
import { WORK } from '../wakeups.ts'
import { wantedRows } from './restore-shape.ts'

type Touches = Parameters<Restores['start']>[2]

export type StartParts = AddParts & { makeId(): Id<'audit entry'> }

/** Whoever restores onto a server waits here for others who are about to; it is not removed meanwhile. */
const lockServer = async (trx: Kysely<Schema>, server: ServerId): Promise<void> => {
  const row = await trx
    .selectFrom('servers')
    .select('id')
    .where('id', '=', server)
    .where('deleted_at', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (row === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: 'server', id: server })
}

/** Index: restores_open. */
const restoreInTheWay = async (
  trx: Kysely<Schema>,
  { server, places }: NewRestore,
  touches: Touches,
): Promise<InTheWay | null> => {
  const open = await trx
    .selectFrom('restores')
    .select(['id', 'places'])
    .where('server_id', '=', server)
    .where('status', 'in', ['pending', 'running'])
    .execute()
  const found = open.find((other) => touches(places, other.places))
  return found === undefined ? null : { kind: 'restore', id: found.id }
}

/** Index: backups_one_run. What it backs up must not change under it. */
const backupInTheWay = async (
  trx: Kysely<Schema>,
  { of, server, places }: NewRestore,
  touches: Touches,
): Promise<InTheWay | null> => {
  const { rows } = await sql<{ id: string; paths: string[] }>`
    select b.id, array(
      select p.path from jsonb_array_elements(v.sources) as s(source)
      cross join jsonb_array_elements_text(s.source->'paths') as p(path)) as paths
    from backups b
    join job_versions v on v.job_id = b.job_id and v.version = b.job_version
    where b.job_id = ${of.job} and b.server_id = ${server} and b.status in ('pending', 'running')`.execute(
    trx,
  )
  const found = rows.find((backup) => touches(places, backup.paths))
  return found === undefined ? null : { kind: 'backup', id: found.id }
}

const insertRestore = async (
  trx: Kysely<Schema>,
  caller: Caller,
  wanted: NewRestore,
): Promise<void> => {
  const { id, of, server, target, conflict, places, openRequest } = wanted
  const pages = pagesOf(wanted.wanted)
  await trx
    .insertInto('restores')
    .values({
      id,
      org_id: caller.organization,
      backup_id: of.backup,
      job_id: of.job,
      vault_id: of.vault,
      server_id: server,
      triggered_by: { name: caller.name, token_id: caller.token },
      target,
      conflict,
      places: [...places],
      file_count: wanted.wanted.length,
      selection_pages: pages.length,
      open_request_id: openRequest?.id ?? null,
      run_after: openRequest === null ? sql<Date>`hf_now()` : sql<Date>`'infinity'::timestamptz`,
      gc_floor: sql<number>`(select gc_epoch from vaults where id = ${of.vault})`,
    })
    .execute()
  for (const [page, some] of pages.entries())
    await trx
      .insertInto('restore_selections')
      .values({
        restore_id: id,
        page,
        org_id: caller.organization,
        wanted: sql`${wantedRows(some)}::jsonb`,
      })
      .execute()
  const first = askedFor('restore', { name: caller.name, trigger: 'manual' })
  await beginRun(trx, restoreRun(id), first)
}

export const startRestore = async (
  db: Kysely<Schema>,
  parts: StartParts,
  [caller, wanted, touches]: readonly [Caller, NewRestore, Touches],
): Promise<InTheWay | null> =>
  db.transaction().execute(async (trx) => {
    await lockServer(trx, wanted.server)
    const inTheWay =
      (await restoreInTheWay(trx, wanted, touches)) ?? (await backupInTheWay(trx, wanted, touches))
    if (inTheWay !== null) return inTheWay
    // Afterwards the restore stands in the way of removing it.
    await hold(trx, ['backup', wanted.of.backup])
    if (wanted.openRequest !== null) await addOpenRequest(trx, parts, [caller, wanted.openRequest])
    await insertRestore(trx, caller, wanted)
    await audit(trx, [caller, parts.makeId()], {
      action: 'restore.started',
      subject: ['restore', wanted.id],
      details: { backup_id: wanted.of.backup, server_id: wanted.server, target: wanted.target },
    })
    // Heard at the commit, by the replica that has the server's connection.
    await sql`select pg_notify(${WORK}, ${wanted.server}::text)`.execute(trx)
    return null
  })
