import { type Kysely, sql } from 'kysely'
import { utf8 } from '#shared/format/bytes.ts'
import type { Id } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { HeldKey, Idempotency, KeyClaim } from '../../ports/idempotency.ts'
import { sameBytes, type Sealing } from '../secrets.ts'
import type { Schema } from './schema.ts'

/** Several renewals long: only a process that died lets it run out. */
const LEASE = sql`interval '15 seconds'`
const KEPT = sql`interval '24 hours'`
/** Old rows that one request takes away. */
const SWEPT = 100

type Parts = { readonly sealing: Sealing; makeId(): Id<'message'> }

/** Both halves may hold what is shown once; the request, the credentials of a storage. */
const purpose = (caller: Caller, key: string): string => `idempotency_keys/${caller.token}/${key}`

const sweep = async (db: Kysely<Schema>): Promise<void> => {
  await sql`
    delete from idempotency_keys where (token_id, key) in (
      select token_id, key from idempotency_keys where created_at < hf_now() - ${KEPT}
      limit ${SWEPT} for update skip locked)`.execute(db)
}

/** A row that nobody has, whose answer is too old, or whose first request died at its work, is taken. */
const take = async (
  db: Kysely<Schema>,
  { caller, key, holder }: HeldKey,
  request: Uint8Array,
): Promise<boolean> => {
  const { rows } = await sql`
    insert into idempotency_keys as k (token_id, key, org_id, request_sha256, holder, lease_until)
    values (${caller.token}, ${key}, ${caller.organization}, ${request}, ${holder}, hf_now() + ${LEASE})
    on conflict (token_id, key) do update
      set request_sha256 = excluded.request_sha256, holder = excluded.holder, lease_until = excluded.lease_until,
        status = null, sealed_response = null, created_at = hf_now()
      where k.created_at < hf_now() - ${KEPT}
        or (k.status is null and k.lease_until < hf_now() and k.request_sha256 = excluded.request_sha256)
    returning 1`.execute(db)
  return rows.length > 0
}

const claim = async (
  db: Kysely<Schema>,
  parts: Parts,
  [caller, key, text]: readonly [Caller, string, string],
): Promise<KeyClaim> => {
  const request = parts.sealing.mac(purpose(caller, key), utf8(text))
  const held = { caller, key, holder: parts.makeId() }
  await sweep(db)
  if (await take(db, held, request)) return { is: 'mine', held }
  const row = await db
    .selectFrom('idempotency_keys')
    .select(['request_sha256', 'status', 'sealed_response'])
    .where('token_id', '=', caller.token)
    .where('key', '=', key)
    .executeTakeFirst()
  // It was released in between: the caller looks again.
  if (row === undefined) return { is: 'busy' }
  if (!sameBytes(row.request_sha256, request)) return { is: 'other' }
  if (row.status === null || row.sealed_response === null) return { is: 'busy' }
  const body = parts.sealing.open(purpose(caller, key), row.sealed_response)
  return { is: 'done', answer: { status: row.status, body: Buffer.from(body).toString('utf8') } }
}

export const idempotencyIn = (db: Kysely<Schema>, parts: Parts): Idempotency => {
  /** What another has taken over is not touched. */
  const where = ({ caller, key, holder }: HeldKey) =>
    sql`token_id = ${caller.token} and key = ${key} and holder = ${holder} and status is null`
  return {
    claim: async (caller, key, request) => claim(db, parts, [caller, key, request]),
    renew: async (held) => {
      await sql`update idempotency_keys set lease_until = hf_now() + ${LEASE} where ${where(held)}`.execute(
        db,
      )
    },
    keep: async (held, { status, body }) => {
      const sealed = parts.sealing.seal(purpose(held.caller, held.key), utf8(body))
      await sql`update idempotency_keys set status = ${status}, sealed_response = ${sealed} where ${where(held)}`.execute(
        db,
      )
    },
    release: async (held) => {
      await sql`delete from idempotency_keys where ${where(held)}`.execute(db)
    },
  }
}
