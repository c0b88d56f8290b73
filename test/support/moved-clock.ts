/** The clock of the database, which a test may set apart from the machine's. */
import { type Kysely, sql } from 'kysely'
import type { Schema } from '#server/io/db/schema.ts'
import type { Ms } from '#shared/units.ts'

/** In place of the function of the migration: same name, same promise (stable within a statement, whole milliseconds). */
export const CLOCK = `
  create table test_clock (frozen timestamptz, shift interval not null default '0');
  insert into test_clock default values;
  create or replace function hf_now() returns timestamptz language sql stable parallel safe as $$
    select date_trunc('milliseconds', coalesce(frozen, statement_timestamp()) + shift) from test_clock $$;`

/** Moves `hf_now()` on, standing still or not. */
export const advanceClock = async (db: Kysely<Schema>, ms: Ms): Promise<void> => {
  await sql`update test_clock set shift = shift + ${ms} * interval '1 millisecond'`.execute(db)
}
