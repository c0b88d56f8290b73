import { type Kysely, type Selectable, type SelectQueryBuilder, sql } from 'kysely'
import type { Storage } from '#shared/api/storages.ts'
import type { StorageId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { Storages } from '../../ports.ts'
import { mapPage, readPage, withUniqueName } from './pages.ts'
import type { Schema } from './schema.ts'

const COLUMNS = [
  'id',
  'name',
  'provider',
  'endpoint',
  'region',
  'bucket',
  'prefix',
  'path_style',
  'allow_plaintext_downloads',
  'created_at',
  'updated_at',
] as const

/** Without the sealed credentials: what is not read cannot be shown. */
type Row = Pick<Selectable<Schema['storages']>, (typeof COLUMNS)[number]>

const shape = (row: Row): Storage => ({
  ...row,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
})

const SORTS = {
  created_at: { by: sql.ref('created_at'), type: 'timestamptz' },
  name: { by: sql.ref('name'), type: 'text' },
} as const

const visible = (db: Kysely<Schema>, caller: Caller): SelectQueryBuilder<Schema, 'storages', Row> =>
  db
    .selectFrom('storages')
    .select(COLUMNS)
    .where('org_id', '=', caller.organization)
    .where('deleted_at', 'is', null)

/** Seals the credentials of one storage; whoever signs for it opens them again under the same name. */
export type SealCredentials = (
  storage: StorageId,
  credentials: { readonly access_key_id: string; readonly secret_access_key: string },
) => Uint8Array

export const storagesIn = (
  db: Kysely<Schema>,
  parts: { readonly seal: SealCredentials; makeId(): StorageId },
): Storages => ({
  list: async (caller, page, { name }) => {
    const query = visible(db, caller).$if(name !== undefined, (q) =>
      q.where('name', '=', name ?? ''),
    )
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id: sql.ref('id') }), shape)
  },
  get: async (caller, id) => {
    const row = await visible(db, caller).where('id', '=', id).executeTakeFirst()
    return row === undefined ? null : shape(row)
  },
  add: async (caller, { access_key_id, secret_access_key, ...input }) =>
    withUniqueName(['storages_name', 'a storage', input.name], async () => {
      const id = parts.makeId()
      const row = await db
        .insertInto('storages')
        .values({
          id,
          org_id: caller.organization,
          name: input.name,
          provider: input.provider,
          endpoint: input.endpoint,
          region: input.region,
          bucket: input.bucket,
          prefix: input.prefix ?? '',
          path_style: input.path_style ?? true,
          allow_plaintext_downloads: input.allow_plaintext_downloads ?? false,
          sealed_credentials: parts.seal(id, { access_key_id, secret_access_key }),
        })
        .returning(COLUMNS)
        .executeTakeFirstOrThrow()
      return shape(row)
    }),
})
