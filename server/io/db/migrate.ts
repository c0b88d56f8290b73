import { type Failure, fail } from '#shared/errors.ts'
import type { Log } from '#shared/world.ts'
import { createHash } from 'node:crypto'
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Kysely, type Transaction, sql } from 'kysely'
import type { Schema } from './schema.ts'

/** One file of migrations/: `0001_start.sql` is number 1. `sha256` is of its exact bytes, in hex. */
export type Migration = {
  readonly number: number
  readonly name: string
  readonly sha256: string
  readonly script: string
}

export type Applied = { readonly number: number; readonly name: string; readonly sha256: string }

const FOLDER = fileURLToPath(new URL('migrations/', import.meta.url))
const FILE = /^(\d{4})_([a-z0-9_]+)\.sql$/

// 'holdfas' in ASCII: a number that no other program in the same database is likely to take.
const ADVISORY_LOCK = '29395908909490547'

/** The migrations of this program, in order. A gap, a double number or a strange file name is our own mistake. */
export const readMigrations = async (folder: string = FOLDER): Promise<readonly Migration[]> => {
  const names = (await readdir(folder)).sort()
  const all = await Promise.all(
    names.map(async (file) => {
      const [, number = '', name = ''] = FILE.exec(file) ?? []
      const bytes = await readFile(join(folder, file))
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      return { number: Number(number), name, sha256, script: bytes.toString('utf8') }
    }),
  )
  const wrong = all.find((migration, at) => migration.number !== at + 1 || migration.name === '')
  if (wrong !== undefined) throw new Error(`migration ${wrong.number} is out of its place`)
  return all
}

const unfit = (problem: string): Failure => fail('DATABASE_INCOMPATIBLE', { problem })

/** The next one to apply, or null. Throws `DATABASE_INCOMPATIBLE` for an edited migration and for a newer database. */
export const nextMigration = (
  known: readonly Migration[],
  applied: readonly Applied[],
): Migration | null => {
  applied.forEach((done, at) => {
    const ours = known[at]
    if (ours === undefined) {
      const newest = known.at(-1)?.number ?? 0
      throw unfit(`it is at migration ${done.number} (${done.name}), this program knows ${newest}`)
    }
    if (ours.number !== done.number || ours.sha256 !== done.sha256)
      throw unfit(`migration ${done.number} (${done.name}) was applied with another content`)
  })
  return known[applied.length] ?? null
}

const appliedIn = async (trx: Transaction<Schema>): Promise<readonly Applied[]> => {
  const { rows } =
    await sql<Applied>`select number, name, sha256 from hf_migrations order by number`.execute(trx)
  return rows
}

/** Applies at most one migration; the lock is held to the end of the transaction, so replicas follow one another. */
const applyNext = async (
  trx: Transaction<Schema>,
  known: readonly Migration[],
): Promise<Migration | null> => {
  // Waiting for another replica's long migration is right; so no timeouts in here.
  await sql`set local lock_timeout = 0`.execute(trx)
  await sql`set local statement_timeout = 0`.execute(trx)
  await sql`select pg_advisory_xact_lock(${ADVISORY_LOCK})`.execute(trx)
  await sql`create table if not exists hf_migrations (
    number integer primary key, name text not null, sha256 text not null,
    applied_at timestamptz not null default clock_timestamp())`.execute(trx)
  const next = nextMigration(known, await appliedIn(trx))
  if (next === null) return null
  await sql.raw(next.script).execute(trx)
  await sql`insert into hf_migrations (number, name, sha256)
    values (${next.number}, ${next.name}, ${next.sha256})`.execute(trx)
  return next
}

/**
 * Brings the database to this program's schema, one transaction per migration. Any number of replicas may call it at
 * once. Answers how many it applied itself. Throws `DATABASE_INCOMPATIBLE` (see nextMigration), in which case nothing
 * was changed; a migration that fails leaves everything before it applied and itself undone.
 */
export const migrate = async (
  db: Kysely<Schema>,
  log: Log,
  migrations?: readonly Migration[],
): Promise<number> => {
  const known = migrations ?? (await readMigrations())
  for (let count = 0; ; count += 1) {
    const done = await db.transaction().execute(async (trx) => applyNext(trx, known))
    if (done === null) return count
    log.info({ number: done.number, name: done.name }, 'migrated the database')
  }
}
