import { type Kysely, sql } from 'kysely'
import type { UsedStorage, UsedStorages } from '../../ports/readiness.ts'
import type { Schema } from './schema.ts'

/** Backups that are looked at: the storages of older ones may be gone for good. */
const LATEST = 100

export const usedStoragesIn = (db: Kysely<Schema>): UsedStorages => ({
  latest: async (limit) => {
    const { rows } = await sql<UsedStorage>`
      select distinct on (v.storage_id) v.storage_id as storage, v.genesis_key as key
      from (select vault_id from backups order by id desc limit ${LATEST}) b
        join vaults v on v.id = b.vault_id
      where v.genesis_key is not null limit ${limit}`.execute(db)
    return rows
  },
})
