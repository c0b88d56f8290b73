import { type Kysely, sql } from 'kysely'
import type { Schema } from './schema.ts'

/** Throws `DATABASE_UNAVAILABLE` when the database does not answer. */
export const ping = async (db: Kysely<Schema>): Promise<void> => {
  await sql`select 1`.execute(db)
}
