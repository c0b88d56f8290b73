/** Rows that a replica claims for a while: the statements that all kinds of them share. */
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { Failure } from '#shared/errors.ts'
import type { Ms } from '#shared/units.ts'
import type { Claim } from '../../../ports/tasks.ts'
import type { Schema } from '../schema.ts'
import type { JsonObject } from '../schema-columns.ts'
import { reasonFor } from './failure.ts'

/** Where one kind is kept. `open`: which rows are to be worked on. `busy`: the status of one that is claimed. */
export type TaskNames = {
  readonly tasks: RawBuilder<unknown>
  /** Null: nobody follows it. */
  readonly events: RawBuilder<unknown> | null
  /** The column of the events that says of which task. */
  readonly of: RawBuilder<unknown>
  readonly open: RawBuilder<unknown>
  readonly busy: string
}

type Row = { readonly id: string; readonly lease_epoch: number; readonly attempt: number }
type Held = { readonly id: string; readonly epoch: number }

export const heldBy = <Job extends { readonly id: string }>({ job, epoch }: Claim<Job>): Held => ({
  id: job.id,
  epoch,
})

export const span = (ms: Ms): RawBuilder<unknown> => sql`${ms} * interval '1 millisecond'`

/** The row is locked by the caller. */
export const noteStatus = async (
  trx: Transaction<Schema>,
  { tasks, events, of }: TaskNames,
  id: string,
): Promise<void> => {
  if (events === null) return
  await sql`
    insert into ${events} (${of}, seq, org_id, type, body)
    select t.id, coalesce((select max(e.seq) from ${events} e where e.${of} = t.id), 0) + 1, t.org_id, 'status',
      jsonb_build_object('status', t.status, 'error', t.error)
    from ${tasks} t where t.id = ${id}::uuid`.execute(trx)
}

/** `skip locked`: two replicas that look at once take different ones. */
export const claim = async <Claimed extends Row>(
  db: Kysely<Schema>,
  names: TaskNames,
  [limit, lease]: readonly [number, Ms],
): Promise<readonly Claimed[]> =>
  db.transaction().execute(async (trx) => {
    const { tasks, open, busy } = names
    const { rows } = await sql<Claimed & { readonly was: string }>`
      with due as (
        select t.id, t.status from ${tasks} t
        where ${open} and t.run_after <= hf_now() and (t.lease_until is null or t.lease_until < hf_now())
        order by t.run_after limit ${limit} for update skip locked
      )
      update ${tasks} t set lease_epoch = t.lease_epoch + 1, lease_until = hf_now() + ${span(lease)},
        attempt = t.attempt + 1, status = ${busy}, started_at = coalesce(t.started_at, hf_now()),
        updated_at = hf_now()
      from due where t.id = due.id returning t.*, due.status as was`.execute(trx)
    for (const row of rows) if (row.was !== busy) await noteStatus(trx, names, row.id)
    return rows
  })

export const renew = async (
  db: Kysely<Schema>,
  { tasks, busy }: TaskNames,
  [{ id, epoch }, progress, lease, more = sql``]: readonly [
    Held,
    JsonObject | null,
    Ms,
    RawBuilder<unknown>?,
  ],
): Promise<boolean> => {
  const { rows } = await sql`
    update ${tasks} set lease_until = hf_now() + ${span(lease)},
      progress = coalesce(${progress}::jsonb, progress)${more}
    where id = ${id}::uuid and lease_epoch = ${epoch} and status = ${busy} returning id`.execute(db)
  return rows.length > 0
}

export const release = async (
  db: Kysely<Schema>,
  { tasks, busy }: TaskNames,
  [{ id, epoch }, failure, after]: readonly [Held, Failure | null, Ms],
): Promise<void> => {
  await sql`
    update ${tasks} set lease_until = null, run_after = hf_now() + ${span(after)},
      attempt = attempt - ${failure === null ? 1 : 0}::integer,
      error = ${failure === null ? null : reasonFor(failure)}::jsonb, updated_at = hf_now()
    where id = ${id}::uuid and lease_epoch = ${epoch} and status = ${busy}`.execute(db)
}

type Around = {
  before?(trx: Transaction<Schema>): Promise<void>
  /** Only where the claim is still held. */
  after?(trx: Transaction<Schema>): Promise<void>
}

/** Ends a claimed task as `values` say, with its event and what is `around` it in one transaction; `false` where the claim is lost. */
export const settle = async (
  db: Kysely<Schema>,
  names: TaskNames,
  [{ id, epoch }, values]: readonly [Held, RawBuilder<unknown>],
  around: Around = {},
): Promise<boolean> =>
  db.transaction().execute(async (trx) => {
    await around.before?.(trx)
    const { rows } = await sql`
      update ${names.tasks} set ${values}, lease_until = null, updated_at = hf_now()
      where id = ${id}::uuid and lease_epoch = ${epoch} and status = ${names.busy} returning id`.execute(
      trx,
    )
    if (rows.length === 0) return false
    await noteStatus(trx, names, id)
    await around.after?.(trx)
    return true
  })
