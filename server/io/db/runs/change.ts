import { type Kysely, sql } from 'kysely'
import type { Ms } from '#shared/units.ts'
import type { Run, RunRef, Step } from '../../../core/backup-machine.ts'
import { restoreSum } from '../../../core/run-log.ts'
import type { RestoreResult, Settled } from '../../../ports/runs.ts'
import type { Schema } from '../schema.ts'
import { RUN_COLUMNS, runIn, type Stored, storeRun } from './run-row.ts'
import { TABLES } from './tables.ts'

const storedOf = (result: RestoreResult | undefined): Stored =>
  result === undefined
    ? {}
    : { result: { ...result, counts: { ...result.counts } }, lines: restoreSum(result) }

/** `for update`: whoever decides about a run sees it as the one before left it. */
export const changeRun = async (
  db: Kysely<Schema>,
  of: RunRef,
  decide: (run: Run, now: Ms) => Step,
  result?: RestoreResult,
): Promise<Settled | null> =>
  db.transaction().execute(async (trx) => {
    const row = await trx
      .selectFrom(TABLES[of.kind])
      .select(RUN_COLUMNS)
      .select(sql<Date>`hf_now()`.as('now'))
      .where('id', '=', of.id)
      .forUpdate()
      .executeTakeFirst()
    if (row === undefined) return null
    const before = runIn(row)
    const [run, verdict] = decide(before, row.now.getTime())
    if (verdict === 'changed') await storeRun(trx, of, [before, run], storedOf(result))
    return { before, run, verdict }
  })
