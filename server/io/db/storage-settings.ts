/** A storage with its credentials opened: only for what talks to it. Implements `StorageRows` of io/s3/stores.ts. */
import { type Kysely, sql } from 'kysely'
import type { StorageId } from '#shared/ids.ts'
import type { StorageRows } from '../s3/stores.ts'
import type { Sealing } from '../secrets.ts'
import { credentialSealing } from './credentials.ts'
import type { Schema } from './schema.ts'

export const storageRowsIn = (db: Kysely<Schema>, sealing: Sealing): StorageRows => ({
  load: async (storage: StorageId) => {
    const row = await db
      .selectFrom('storages')
      .selectAll()
      .where('id', '=', storage)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
    if (row === undefined) return null
    const credentials = credentialSealing(sealing).open(storage, row.sealed_credentials)
    return {
      name: row.name,
      endpoint: row.endpoint,
      region: row.region,
      bucket: row.bucket,
      prefix: row.prefix,
      pathStyle: row.path_style,
      credentials: {
        accessKeyId: credentials.access_key_id,
        secretAccessKey: credentials.secret_access_key,
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
