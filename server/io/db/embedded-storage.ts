/** The storage that comes with a data folder: found by the id that the folder remembers. */
import { type Kysely, sql } from 'kysely'
import { isId, type OrgId, type StorageId } from '#shared/ids.ts'
import type { Sealing } from '../secrets.ts'
import { type Credentials, credentialSealing } from './credentials.ts'
import type { Schema } from './schema.ts'

export type EmbeddedStorage = {
  readonly id: StorageId
  readonly organization: OrgId
  readonly endpoint: string
  readonly credentials: Credentials
}

/** `null` when the database has no such storage. Throws `DAMAGED` under another master key. */
export const findEmbeddedStorage = async (
  db: Kysely<Schema>,
  sealing: Sealing,
  id: string,
): Promise<EmbeddedStorage | null> => {
  if (!isId(id)) return null
  const row = await db
    .selectFrom('storages')
    .where(sql`id`, '=', id)
    .where('deleted_at', 'is', null)
    .select(['id', 'org_id', 'endpoint', 'sealed_credentials'])
    .executeTakeFirst()
  if (row === undefined) return null
  return {
    id: row.id,
    organization: row.org_id,
    endpoint: row.endpoint,
    credentials: credentialSealing(sealing).open(row.id, row.sealed_credentials),
  }
}

export const moveEmbeddedStorage = async (
  db: Kysely<Schema>,
  id: StorageId,
  endpoint: string,
): Promise<void> => {
  await db
    .updateTable('storages')
    .set({ endpoint, updated_at: sql<Date>`hf_now()` })
    .where('id', '=', id)
    .where('endpoint', '<>', endpoint)
    .execute()
}
