import { type Kysely, type Selectable, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { VerificationResult } from '#shared/api/findings.ts'
import type { Verification, VerificationQuery } from '#shared/api/verifications.ts'
import type { Id, StorageId, VerificationId } from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'
import type { Page, PageRequest } from '../../../core/page.ts'
import type { Caller } from '../../../core/caller.ts'
import type { Claim } from '../../../ports/tasks.ts'
import type {
  NewVerification,
  VerificationJob,
  VerificationProgress,
  Verifications,
  VerificationStand,
} from '../../../ports/verifications.ts'
import { audit } from '../audit.ts'
import { hold } from '../hold.ts'
import { brokenConstraint } from '../errors.ts'
import { mapPage, readPage } from '../pages.ts'
import type { Schema } from '../schema.ts'
import type { JsonObject } from '../schema-columns.ts'
import { reasonFor } from '../tasks/failure.ts'
import { askedBy } from '../tasks/asked.ts'
import { claim, heldBy, noteStatus, release, renew, settle } from '../tasks/tasks.ts'
import { NAMES } from './names.ts'
import { startDue } from './plans.ts'
import { shapeVerification } from './verification-shape.ts'

type Row = Selectable<Schema['verifications']>

export type VerificationParts = { makeId<Kind extends string>(): Id<Kind> }

const SORTS = {
  created_at: { by: sql.ref('v.created_at'), type: 'timestamptz' },
} as const

/** Those of backups of the caller's servers. */
const visible = (db: Kysely<Schema>, caller: Caller) => {
  const all = db
    .selectFrom('verifications as v')
    .innerJoin('backups as b', 'b.id', 'v.backup_id')
    .innerJoin('servers as s', 's.id', 'b.server_id')
    .where('v.org_id', '=', caller.organization)
    .where('b.deleted_at', 'is', null)
    .selectAll('v')
  return caller.project === null ? all : all.where('s.project_id', '=', caller.project)
}

/** Index: verifications_by_storage. */
const list = async (
  db: Kysely<Schema>,
  [caller, page]: readonly [Caller, PageRequest],
  { storage, level, status }: VerificationQuery & { readonly storage: StorageId },
): Promise<Page<Verification>> => {
  const query = visible(db, caller)
    .where('v.storage_id', '=', storage)
    .$if(level !== undefined, (q) => q.where(sql`v.level`, '=', level))
    .$if(status !== undefined, (q) => q.where(sql`v.status`, '=', status))
  return mapPage(
    await readPage(db, query, { page, sorts: SORTS, id: sql.ref('v.id') }),
    shapeVerification,
  )
}

const insert = async (
  db: Kysely<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  { id, of, level, openRequest }: NewVerification,
): Promise<void> =>
  db.transaction().execute(async (trx) => {
    await hold(trx, ['backup', of.backup])
    await trx
      .insertInto('verifications')
      .values({ ...askedBy(caller, of), id, level, open_request_id: openRequest })
      .execute()
    await noteStatus(trx, NAMES, id)
    await audit(trx, [caller, entry], {
      action: 'verification.started',
      subject: ['backup', of.backup],
      details: { verification_id: id, level },
    })
  })

/** Index: verifications_open. */
const openOne = async (
  db: Kysely<Schema>,
  { of, level }: NewVerification,
): Promise<VerificationId | null> => {
  const row = await db
    .selectFrom('verifications')
    .select('id')
    .where('backup_id', '=', of.backup)
    .where('level', '=', level)
    .where('status', 'in', ['pending', 'running'])
    .executeTakeFirst()
  return row?.id ?? null
}

const add = async (
  db: Kysely<Schema>,
  by: readonly [Caller, Id<'audit entry'>],
  wanted: NewVerification,
): Promise<VerificationId | null> => {
  // The one in the way may end between the two statements; then there is room for this one.
  for (let tries = 0; tries < 5; tries += 1) {
    try {
      await insert(db, by, wanted)
      return null
    } catch (error) {
      if (brokenConstraint(error) !== 'verifications_open') throw error
    }
    const running = await openOne(db, wanted)
    if (running !== null) return running
  }
  throw fail('CONFLICT', { problem: 'Other verifications of this backup keep starting and ending' })
}

const jobIn = (row: Row): Claim<VerificationJob> => ({
  epoch: row.lease_epoch,
  attempt: row.attempt,
  job: {
    id: row.id,
    organization: row.org_id,
    backup: row.backup_id,
    level: row.level,
    openRequest: row.open_request_id,
    checkpoint: row.checkpoint,
  },
})

/** Lock order: the backup, then the verification. What was found in detail stays with the latter: lists show backups whole. */
const complete = async (
  db: Kysely<Schema>,
  held: Claim<VerificationJob>,
  [result, progress]: readonly [VerificationResult, VerificationProgress],
): Promise<boolean> => {
  const { id, backup } = held.job
  const values = sql`status = 'completed', completed_at = hf_now(), error = null, checkpoint = null,
    result = ${{ ...result }}::jsonb, progress = ${{ ...progress }}::jsonb`
  return settle(db, NAMES, [heldBy(held), values], {
    before: async (trx) => {
      await trx
        .selectFrom('backups')
        .select('id')
        .where('id', '=', backup)
        .forNoKeyUpdate()
        .execute()
    },
    after: async (trx) => {
      await sql`
        update backups b set last_verified = b.last_verified || jsonb_build_object(v.level,
          (v.result - 'problems') || jsonb_build_object('at', v.completed_at, 'verification_id', v.id))
        from verifications v where v.id = ${id}::uuid and b.id = v.backup_id`.execute(trx)
    },
  })
}

/** Its claim ends with it: every statement of whoever works on it asks for `running`. */
const cancel = async (
  db: Kysely<Schema>,
  [caller, entry]: readonly [Caller, Id<'audit entry'>],
  id: VerificationId,
): Promise<boolean> =>
  db.transaction().execute(async (trx) => {
    const seen = await visible(trx, caller).where('v.id', '=', id).executeTakeFirst()
    if (seen === undefined) return false
    const { rows } = await sql`
      update verifications set status = 'canceled', completed_at = hf_now(), updated_at = hf_now(),
        lease_until = null, checkpoint = null, error = ${reasonFor(fail('CANCELED'))}::jsonb
      where id = ${id}::uuid and status in ('pending', 'running') returning id`.execute(trx)
    if (rows.length === 0) return false
    await noteStatus(trx, NAMES, id)
    await audit(trx, [caller, entry], {
      action: 'verification.canceled',
      subject: ['backup', seen.backup_id],
      details: { verification_id: id, level: seen.level },
    })
    return true
  })

/** Nothing holds them: they have never been claimed. */
const expire = async (db: Kysely<Schema>): Promise<number> =>
  db.transaction().execute(async (trx) => {
    const problem = 'the open request was not approved in its time'
    const { rows } = await sql<{ id: string }>`
      update verifications v set status = 'failed', completed_at = hf_now(), updated_at = hf_now(),
        error = ${reasonFor(fail('KEY_REQUIRED', { problem }))}::jsonb
      from open_requests q
      where q.id = v.open_request_id and v.status = 'pending' and q.approved_at is null
        and q.expires_at <= hf_now()
      returning v.id`.execute(trx)
    for (const { id } of rows) await noteStatus(trx, NAMES, id)
    return rows.length
  })

/** A claim that got further has not failed: its attempts are counted anew. */
const renewStand = async (
  db: Kysely<Schema>,
  [held, stand, lease]: readonly [Claim<VerificationJob>, VerificationStand | null, Ms],
): Promise<boolean> => {
  const progress = stand === null ? null : { ...stand.progress }
  const checkpoint = toJson(stand?.checkpoint)
  const set = sql`, checkpoint = coalesce(${checkpoint}::jsonb, checkpoint), attempt =
    case when coalesce(${checkpoint}::jsonb, checkpoint) is distinct from checkpoint then 1 else attempt end`
  return renew(db, NAMES, [heldBy(held), progress, lease, set])
}

const toJson = (value: unknown): JsonObject | null =>
  typeof value === 'object' && value !== null ? { ...value } : null

export const verificationsIn = (db: Kysely<Schema>, parts: VerificationParts): Verifications => ({
  add: async (caller, wanted) => add(db, [caller, parts.makeId()], wanted),
  get: async (caller, id) => {
    const row = await visible(db, caller).where('v.id', '=', id).executeTakeFirst()
    return row === undefined ? null : shapeVerification(row)
  },
  list: async (caller, page, filters) => list(db, [caller, page], filters),
  claim: async (limit, lease) => (await claim<Row>(db, NAMES, [limit, lease])).map(jobIn),
  renew: async (held, stand, lease) => renewStand(db, [held, stand, lease]),
  release: async (held, failure, after) => release(db, NAMES, [heldBy(held), failure, after]),
  fail: async (held, failure) => {
    const error = sql`${reasonFor(failure)}::jsonb`
    const values = sql`status = 'failed', completed_at = hf_now(), checkpoint = null, error = ${error}`
    await settle(db, NAMES, [heldBy(held), values])
  },
  complete: async (held, result, progress) => complete(db, held, [result, progress]),
  cancel: async (caller, id) => cancel(db, [caller, parts.makeId()], id),
  expire: async () => expire(db),
  startDue: async (limit) => startDue(db, () => parts.makeId<'verification'>(), limit),
})
