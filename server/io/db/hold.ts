/**
 * What a new row points to stays while the transaction lasts. Rows that are removed stay in their tables, so that a foreign
 * key does not see it: whoever points to one looks here, and waits for a removal that is under way.
 */
import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { BackupId, KeyId, ProjectId, ServerId, StorageId } from '#shared/ids.ts'
import type { Schema } from './schema.ts'

type Held =
  | readonly ['backup', BackupId]
  | readonly ['project', ProjectId]
  | readonly ['server', ServerId]
  | readonly ['storage', StorageId]
  | readonly ['encryption key', KeyId]

const TABLES = {
  backup: sql.table('backups'),
  project: sql.table('projects'),
  server: sql.table('servers'),
  storage: sql.table('storages'),
  'encryption key': sql.table('encryption_keys'),
} as const

/** `RESOURCE_NOT_FOUND` for one that was removed meanwhile. */
export const hold = async (trx: Kysely<Schema>, ...all: readonly Held[]): Promise<void> => {
  for (const [resource, id] of all) {
    const { rows } = await sql`
      select 1 from ${TABLES[resource]} where id = ${id} and deleted_at is null for share`.execute(
      trx,
    )
    if (rows.length === 0) throw fail('RESOURCE_NOT_FOUND', { resource, id })
  }
}
