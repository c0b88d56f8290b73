/** A storage with its credentials opened: only for what talks to it. Implements `StorageRows` of io/s3/stores.ts. */
import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { StorageId } from '#shared/ids.ts'
import { parser, Type } from '#shared/schema.ts'
import type { StorageRows } from '../s3/stores.ts'
import type { Sealing } from '../secrets.ts'
import { credentialsPurpose } from './embedded-storage.ts'
import type { Schema } from './schema.ts'

const parseCredentials = parser(
  Type.Object({ access_key_id: Type.String(), secret_access_key: Type.String() }),
)

export const storageRowsIn = (db: Kysely<Schema>, sealing: Sealing): StorageRows => ({
  load: async (storage: StorageId) => {
    const row = await db
      .selectFrom('storages')
      .selectAll()
      .where('id', '=', storage)
      .executeTakeFirst()
    if (row === undefined) return null
    const opened = sealing.open(credentialsPurpose(storage), row.sealed_credentials)
    const parsed = parseCredentials(JSON.parse(Buffer.from(opened).toString('utf8')))
    if (!('ok' in parsed))
      throw fail('DAMAGED', { what: `the credentials of storage ${storage}`, problem: 'malformed' })
    return {
      name: row.name,
      endpoint: row.endpoint,
      region: row.region,
      bucket: row.bucket,
      prefix: row.prefix,
      pathStyle: row.path_style,
      credentials: {
        accessKeyId: parsed.ok.access_key_id,
        secretAccessKey: parsed.ok.secret_access_key,
      },
      capabilities:
        row.tested_at === null
          ? null
          : { conditional_put: row.capabilities['conditional_put'] === true },
    }
  },
  remember: async (storage, capabilities) => {
    await db
      .updateTable('storages')
      .set({ capabilities: { ...capabilities }, tested_at: sql<Date>`hf_now()` })
      .where('id', '=', storage)
      .execute()
  },
})
