import { type Kysely, sql } from 'kysely'
import { MOST_SHOWN } from '#shared/api/restores.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import type { Id, OpenRequestId, ServerId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import type { Link } from '../../../ports.ts'
import type { OpenRequests, Proof, Unsigned } from '../../../ports/open-requests.ts'
import { anyOf } from '../pack-numbers.ts'
import { mapPage, readPage } from '../pages.ts'
import type { Schema } from '../schema.ts'
import { addOpenRequest, type AddParts } from './add.ts'
import { approve } from './approve.ts'
import { shapeRequest } from './request-shape.ts'
import { STATUS } from './status.ts'

const SORTS = {
  created_at: { by: sql.ref('q.created_at'), type: 'timestamptz' },
  expires_at: { by: sql.ref('q.expires_at'), type: 'timestamptz' },
} as const

/** Requests about backups of the caller's servers. */
const visible = (db: Kysely<Schema>, caller: Caller) => {
  const all = db
    .selectFrom('open_requests as q')
    .innerJoin('backups as b', 'b.id', 'q.backup_id')
    .innerJoin('servers as s', 's.id', 'b.server_id')
    .innerJoin('vaults as v', 'v.id', 'q.vault_id')
    .innerJoin('encryption_keys as k', 'k.id', 'v.encryption_key_id')
    .leftJoin('restores as r', 'r.open_request_id', 'q.id')
    .where('q.org_id', '=', caller.organization)
    .selectAll('q')
    .select(['b.job_id', 'r.id as restore_id', 'k.id as key_id', 'k.recipient as key_recipient'])
    .select(STATUS.as('now_is'))
    .select(
      sql<readonly number[]>`array(
        select p.pack_no from open_request_packs p where p.request_id = q.id
        order by p.pack_no limit ${MOST_SHOWN})`.as('first_packs'),
    )
  return caller.project === null ? all : all.where('s.project_id', '=', caller.project)
}

type AskedRow = {
  readonly id: OpenRequestId
  readonly server_id: ServerId
  readonly purpose: Unsigned['purpose']
  readonly backup_id: Unsigned['backup']
  readonly packs_sha256: Uint8Array
  readonly expires_at: Date
}

const asked = (row: AskedRow): Omit<Unsigned, 'link'> => ({
  id: row.id,
  purpose: row.purpose,
  backup: row.backup_id,
  packsSha256: toBase64url(row.packs_sha256),
  expiresAt: row.expires_at.getTime(),
})

/** Index: open_requests_unsigned. Two replicas have other connections; `skip locked` for two sweeps of one. */
const unsigned = async (
  db: Kysely<Schema>,
  links: readonly Link[],
  limit: number,
): Promise<readonly Unsigned[]> => {
  const ours = links.map(({ server, joins }) => ({ server, joins }))
  const { rows } = await sql<AskedRow>`
    with next as (
      select q.id, l.joins from open_requests q
      join jsonb_to_recordset(${ours}::jsonb) as l(server uuid, joins bigint) on l.server = q.server_id
      where q.signature is null and q.approved_at is null and q.expires_at > hf_now()
        and (q.asked_link is null or q.asked_link < l.joins)
      order by q.created_at limit ${limit} for update of q skip locked
    )
    update open_requests q set asked_link = next.joins from next where q.id = next.id
    returning q.id, q.server_id, q.purpose, q.backup_id, q.packs_sha256, q.expires_at`.execute(db)
  const byServer = new Map(links.map((link) => [link.server, link]))
  return rows.flatMap((row) => {
    const link = byServer.get(row.server_id)
    return link === undefined ? [] : [{ ...asked(row), link }]
  })
}

const toProve = async (db: Kysely<Schema>, id: string, server: ServerId): Promise<Proof | null> => {
  const { rows } = await sql<AskedRow & { signing_key: Uint8Array; opener_key: Uint8Array }>`
    select q.id, q.server_id, q.purpose, q.backup_id, q.packs_sha256, q.expires_at, q.signing_key, q.opener_key
    from open_requests q
    where q.id = ${id}::uuid and q.server_id = ${server} and q.signature is null`.execute(db)
  const [row] = rows
  return row === undefined
    ? null
    : { ...asked(row), signingKey: row.signing_key, openerKey: row.opener_key }
}

const approval: (db: Kysely<Schema>) => OpenRequests['approval'] =
  (db) =>
  async (id, { forRun } = { forRun: false }) => {
    const query = db
      .selectFrom('open_requests')
      .select(['purpose', 'backup_id', 'vault_id', 'opener_key', 'sealed_id_key'])
      .where('id', '=', id)
      .where('approved_at', 'is not', null)
    const row = await (
      forRun ? query : query.where('expires_at', '>', sql<Date>`hf_now()`)
    ).executeTakeFirst()
    if (row?.sealed_id_key === undefined || row.sealed_id_key === null) return null
    return {
      id,
      purpose: row.purpose,
      backup: row.backup_id,
      vault: row.vault_id,
      openerKey: row.opener_key,
      sealedIdKey: row.sealed_id_key,
    }
  }

const packs: (db: Kysely<Schema>) => OpenRequests['packs'] = (db) => async (id, after, limit) => {
  const { rows } = await sql<{
    pack_no: number
    object_key: string
    size: number
    header: Uint8Array
  }>`
    select p.pack_no, p.object_key, p.size, p.header
    from open_request_packs n
    join open_requests q on q.id = n.request_id
    join packs p on p.vault_id = q.vault_id and p.pack_no = n.pack_no
    where n.request_id = ${id} and n.pack_no > ${after} and p.header is not null
    order by n.pack_no limit ${limit}`.execute(db)
  return rows.map((row) => ({
    no: row.pack_no,
    key: row.object_key,
    size: row.size,
    header: toBase64url(row.header),
  }))
}

const sealedKeys: (db: Kysely<Schema>) => OpenRequests['sealedKeys'] =
  (db) => async (id, numbers) => {
    const { rows } = await sql<{ pack_no: number; sealed_file_key: Uint8Array }>`
      select pack_no, sealed_file_key from open_request_packs
      where request_id = ${id} and pack_no = ${anyOf(numbers)} and sealed_file_key is not null`.execute(
      db,
    )
    return new Map(rows.map((row) => [row.pack_no, row.sealed_file_key]))
  }

export type RequestParts = AddParts & {
  makeId(): Id<'audit entry'>
  /** The inverse of `seal`. */
  unseal(request: string, sealed: Uint8Array): Uint8Array
}

export const openRequestsIn = (db: Kysely<Schema>, parts: RequestParts): OpenRequests => ({
  list: async (caller, page, { status, purpose, backup_id }) => {
    const query = visible(db, caller)
      .$if(status !== undefined, (q) => q.where(STATUS, '=', status ?? 'pending'))
      .$if(purpose !== undefined, (q) => q.where('q.purpose', '=', purpose ?? 'restore'))
      .$if(backup_id !== undefined, (q) => q.where(sql`q.backup_id`, '=', backup_id))
    const id = sql.ref('q.id')
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id }), shapeRequest)
  },
  get: async (caller, id) => {
    const row = await visible(db, caller).where('q.id', '=', id).executeTakeFirst()
    return row === undefined ? null : shapeRequest(row)
  },
  add: async (caller, wanted) =>
    db.transaction().execute(async (trx) => addOpenRequest(trx, parts, [caller, wanted])),
  packs: packs(db),
  approve: async (caller, id, given) => approve(db, [caller, parts.makeId()], [id, given]),
  approval: approval(db),
  sealedKeys: sealedKeys(db),
  openerSecret: async (id) => {
    const row = await db
      .selectFrom('open_requests')
      .select('sealed_opener_secret')
      .where('id', '=', id)
      .executeTakeFirst()
    const sealed = row?.sealed_opener_secret ?? null
    return sealed === null ? null : parts.unseal(id, sealed)
  },
  unsigned: async (links, limit) => (links.length === 0 ? [] : unsigned(db, links, limit)),
  toProve: async (id, server) => toProve(db, id, server),
  sign: async (id, signature) => {
    await db.updateTable('open_requests').set({ signature }).where('id', '=', id).execute()
  },
})
