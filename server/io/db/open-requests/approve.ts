import { type Kysely, sql } from 'kysely'
import type { OpenRequest } from '#shared/api/open-requests.ts'
import type { Id, OpenRequestId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import type { ApproveOutcome, GivenKeys } from '../../../ports/open-requests.ts'
import { audit } from '../audit.ts'
import { anyOf } from '../pack-numbers.ts'
import type { Schema } from '../schema.ts'
import { WORK } from '../wakeups.ts'
import { STATUS } from './status.ts'

/** Of the caller's requests: those about backups of servers that it may see. */
const lock = async (
  trx: Kysely<Schema>,
  { organization, project }: Caller,
  id: OpenRequestId,
): Promise<OpenRequest['status'] | null> => {
  const { rows } = await sql<{ status: OpenRequest['status'] }>`
    select ${STATUS} as status from open_requests q
    join backups b on b.id = q.backup_id
    join servers s on s.id = b.server_id
    left join restores r on r.open_request_id = q.id
    where q.id = ${id} and q.org_id = ${organization} and (${project}::uuid is null or s.project_id = ${project}::uuid)
    for update of q`.execute(trx)
  return rows[0]?.status ?? null
}

type Found = { readonly pack: number | null; readonly count: number }

const unasked = async (
  trx: Kysely<Schema>,
  id: OpenRequestId,
  packs: readonly number[],
): Promise<Found> => {
  const { rows } = await sql<Found>`
    select min(no) as pack, count(*)::int as count from unnest(${[...packs]}::bigint[]) as g(no)
    where not exists (select 1 from open_request_packs p where p.request_id = ${id} and p.pack_no = g.no)`.execute(
    trx,
  )
  return rows[0] ?? { pack: null, count: 0 }
}

const missing = async (
  trx: Kysely<Schema>,
  id: OpenRequestId,
  packs: readonly number[],
): Promise<Found> => {
  const { rows } = await sql<Found>`
    select min(pack_no) as pack, count(*)::int as count from open_request_packs
    where request_id = ${id} and sealed_file_key is null and not (pack_no = ${anyOf(packs)})`.execute(
    trx,
  )
  return rows[0] ?? { pack: null, count: 0 }
}

const check = async (
  trx: Kysely<Schema>,
  id: OpenRequestId,
  { keys, more }: GivenKeys,
): Promise<ApproveOutcome | null> => {
  const packs = [...keys.keys()]
  const extra = await unasked(trx, id, packs)
  if (extra.pack !== null) return { wrong: 'unasked', pack: extra.pack, count: extra.count }
  const absent = more ? null : await missing(trx, id, packs)
  if (absent === null || absent.pack === null) return null
  return { wrong: 'missing', pack: absent.pack, count: absent.count }
}

const storeKeys = async (
  trx: Kysely<Schema>,
  id: OpenRequestId,
  keys: GivenKeys['keys'],
): Promise<void> => {
  const sealed = [...keys.values()].map((key) => Buffer.from(key).toString('hex'))
  await sql`
    update open_request_packs p set sealed_file_key = decode(g.sealed, 'hex')
    from unnest(${[...keys.keys()]}::bigint[], ${sealed}::text[]) as g(no, sealed)
    where p.request_id = ${id} and p.pack_no = g.no`.execute(trx)
}

/** The restore that waits for it may begin; whoever holds its server's connection hears of it at the commit. */
const release = async (trx: Kysely<Schema>, id: OpenRequestId): Promise<void> => {
  await sql`
    with released as (
      update restores set run_after = hf_now(), updated_at = hf_now()
      where open_request_id = ${id} and status = 'pending' returning server_id
    )
    select pg_notify(${WORK}, server_id::text) from released`.execute(trx)
}

const finish = async (
  trx: Kysely<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  [id, sealedIdKey]: readonly [OpenRequestId, Uint8Array],
): Promise<void> => {
  await trx
    .updateTable('open_requests')
    .set({
      approved_at: sql<Date>`hf_now()`,
      approved_by: { name: caller.name, token_id: caller.token },
      sealed_id_key: sealedIdKey,
    })
    .where('id', '=', id)
    .execute()
  await release(trx, id)
  await audit(trx, [caller, entry], {
    action: 'open_request.approved',
    subject: ['open request', id],
  })
}

/** Everything that is given is right, or nothing of it is stored. */
export const approve = async (
  db: Kysely<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  [id, given]: readonly [OpenRequestId, GivenKeys],
): Promise<ApproveOutcome | null> =>
  db.transaction().execute(async (trx): Promise<ApproveOutcome | null> => {
    const status = await lock(trx, caller, id)
    if (status === null) return null
    if (status !== 'pending') return { wrong: 'status', status }
    const wrong = await check(trx, id, given)
    if (wrong !== null) return wrong
    await storeKeys(trx, id, given.keys)
    if (given.more || given.sealedIdKey === null) return 'stored'
    await finish(trx, [caller, entry], [id, given.sealedIdKey])
    return 'approved'
  })
