/** A run's row ⇄ its state. Only statements of this folder write the columns of a run. */
import { type Selectable, sql, type Transaction, type UpdateObject } from 'kysely'
import { isErrorCode } from '#shared/errors.ts'
import type { Ms } from '#shared/units.ts'
import {
  isFinal,
  type Pause,
  type Problem,
  type Run,
  type RunRef,
} from '../../../core/backup-machine.ts'
import { linesOf, type RunLine } from '../../../core/run-log.ts'
import type { Schema } from '../schema.ts'
import type { JsonObject } from '../schema-columns.ts'
import { appendLines, appendStatus } from './append.ts'
import { type RunTable, TABLES } from './tables.ts'

export const RUN_COLUMNS = [
  'status',
  'lease_epoch',
  'lease_link',
  'lease_until',
  'accepted_at',
  'deadline',
  'cancel_requested_at',
  'paused_at',
  'paused_left_ms',
  'error',
] as const

export type RunRow = Pick<Selectable<Schema['backups']>, (typeof RUN_COLUMNS)[number]>

const problemIn = (error: JsonObject | null): Problem => {
  const code = error?.['code']
  const message = error?.['message']
  return {
    code: typeof code === 'string' && isErrorCode(code) ? code : 'INTERNAL',
    message: typeof message === 'string' ? message : '',
  }
}

const leaseIn = (row: RunRow): { readonly link: number; readonly until: Ms } | null =>
  row.lease_link === null || row.lease_until === null
    ? null
    : { link: row.lease_link, until: row.lease_until.getTime() }

const pauseIn = (row: RunRow): Pause | null =>
  row.paused_at === null ? null : { since: row.paused_at.getTime(), left: row.paused_left_ms }

export const runIn = (row: RunRow): Run => {
  const epoch = row.lease_epoch
  switch (row.status) {
    case 'pending':
      return { at: 'pending', epoch, paused: pauseIn(row) }
    case 'running':
      return {
        at: 'running',
        epoch,
        lease: leaseIn(row),
        accepted: row.accepted_at !== null,
        cancelAsked: row.cancel_requested_at !== null,
        paused: pauseIn(row),
        deadline: row.deadline?.getTime() ?? Number.MAX_SAFE_INTEGER,
      }
    case 'completed':
    case 'partial':
      return { at: row.status, epoch }
    case 'failed':
    case 'canceled':
      return { at: row.status, epoch, problem: problemIn(row.error) }
  }
}

/** Columns of the result that are stored together with a final state. */
export type RunUpdate<Table extends RunTable = RunTable> = UpdateObject<Schema, Table>

const now = sql<Date>`hf_now()`

const pausedOf = (run: Run): { paused_at: Date | null; paused_left_ms: number | null } => {
  const paused = 'paused' in run ? run.paused : null
  return {
    paused_at: paused === null ? null : new Date(paused.since),
    paused_left_ms: paused?.left ?? null,
  }
}

const columnsOf = (run: Run): RunUpdate => {
  const common = { status: run.at, lease_epoch: run.epoch, ...pausedOf(run) }
  switch (run.at) {
    case 'pending':
      return common
    case 'running':
      return {
        ...common,
        lease_link: run.lease?.link ?? null,
        lease_until: run.lease === null ? null : new Date(run.lease.until),
        detached_at: run.lease === null ? sql<Date>`coalesce(detached_at, hf_now())` : null,
        accepted_at: run.accepted ? sql<Date>`coalesce(accepted_at, hf_now())` : null,
        cancel_requested_at: run.cancelAsked
          ? sql<Date>`coalesce(cancel_requested_at, hf_now())`
          : null,
        deadline: new Date(run.deadline),
        started_at: sql<Date>`coalesce(started_at, hf_now())`,
      }
    case 'completed':
    case 'partial':
      return { ...common, lease_until: null, completed_at: now, error: null }
    case 'failed':
    case 'canceled': {
      const { code, message } = run.problem
      return { ...common, lease_until: null, completed_at: now, error: { code, message } }
    }
  }
}

export type Stored = {
  readonly result?: RunUpdate
  /** What its log says of the result, before it says that it is over. */
  readonly lines?: readonly RunLine[]
}

/** Stores `next` over `before`; the row is locked by the caller. A changed status also becomes an event. */
export const storeRun = async (
  trx: Transaction<Schema>,
  of: RunRef,
  [before, next]: readonly [Run, Run],
  { result = {}, lines = [] }: Stored = {},
): Promise<void> => {
  await trx
    .updateTable(TABLES[of.kind])
    .set({ ...columnsOf(next), ...result, updated_at: now })
    .where('id', '=', of.id)
    .execute()
  await appendLines(trx, of, [...lines, ...linesOf(of.kind, before, next)], isFinal(next))
  if (before.at !== next.at) await appendStatus(trx, of)
}
