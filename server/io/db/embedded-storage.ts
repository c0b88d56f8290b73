/** The storage that comes with a data folder: found by the id that the folder remembers. */
import { type Kysely, sql } from 'kysely'
import { isId, type OrgId, type StorageId } from '#shared/ids.ts'
import { type Static, Type, parser } from '#shared/schema.ts'
import type { Sealing } from '../secrets.ts'
import type { Schema } from './schema.ts'

const Credentials = Type.Object({
  access_key_id: Type.String(),
  secret_access_key: Type.String(),
})
export type Credentials = Static<typeof Credentials>
const parseCredentials = parser(Credentials)

export const credentialsPurpose = (storage: StorageId): string => `storages/${storage}/credentials`

export const sealCredentials =
  (sealing: Sealing) =>
  (storage: StorageId, { access_key_id, secret_access_key }: Credentials): Uint8Array =>
    sealing.seal(
      credentialsPurpose(storage),
      Buffer.from(JSON.stringify({ access_key_id, secret_access_key }), 'utf8'),
    )

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
    .select(['id', 'org_id', 'endpoint', 'sealed_credentials'])
    .executeTakeFirst()
  if (row === undefined) return null
  const opened = sealing.open(credentialsPurpose(row.id), row.sealed_credentials)
  const parsed = parseCredentials(JSON.parse(Buffer.from(opened).toString('utf8')))
  if (!('ok' in parsed)) throw new Error(`the credentials of storage ${row.id} are malformed`)
  return {
    id: row.id,
    organization: row.org_id,
    endpoint: row.endpoint,
    credentials: parsed.ok,
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
