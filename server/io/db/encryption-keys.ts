import { type Kysely, type Selectable, type SelectQueryBuilder, sql } from 'kysely'
import type { EncryptionKey } from '#shared/api/encryption-keys.ts'
import { fail } from '#shared/errors.ts'
import type { KeyId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { EncryptionKeys } from '../../ports.ts'
import { mapPage, readPage, withUniqueName } from './pages.ts'
import type { Schema } from './schema.ts'

const COLUMNS = ['id', 'name', 'type', 'recipient', 'created_at'] as const

type Row = Pick<Selectable<Schema['encryption_keys']>, (typeof COLUMNS)[number]>

const shape = (row: Row): EncryptionKey => ({ ...row, created_at: row.created_at.toISOString() })

const SORTS = {
  created_at: { by: sql.ref('created_at'), type: 'timestamptz' },
  name: { by: sql.ref('name'), type: 'text' },
} as const

const visible = (
  db: Kysely<Schema>,
  caller: Caller,
): SelectQueryBuilder<Schema, 'encryption_keys', Row> =>
  db
    .selectFrom('encryption_keys')
    .select(COLUMNS)
    .where('org_id', '=', caller.organization)
    .where('deleted_at', 'is', null)

/** What a managed identity is sealed for. */
export const identityPurpose = (key: KeyId): string => `encryption_keys/${key}/identity`

/** A fresh identity: its recipient, and itself sealed for the row `id`. */
export type MakeIdentity = (id: KeyId) => {
  readonly recipient: string
  readonly sealed: Uint8Array
}

export const encryptionKeysIn = (
  db: Kysely<Schema>,
  parts: { readonly makeIdentity: MakeIdentity; makeId(): KeyId },
): EncryptionKeys => ({
  list: async (caller, page, { type }) => {
    const query = visible(db, caller).$if(type !== undefined, (q) =>
      q.where('type', '=', type ?? 'managed'),
    )
    return mapPage(await readPage(db, query, { page, sorts: SORTS, id: sql.ref('id') }), shape)
  },
  get: async (caller, id) => {
    const row = await visible(db, caller).where('id', '=', id).executeTakeFirst()
    return row === undefined ? null : shape(row)
  },
  add: async (caller, input) =>
    withUniqueName(['encryption_keys_name', 'an encryption key', input.name], async () => {
      const id = parts.makeId()
      const made = input.type === 'managed' ? parts.makeIdentity(id) : null
      const recipient = made?.recipient ?? input.recipient
      if (recipient === undefined)
        throw fail('VALIDATION_FAILED', { field: 'recipient', problem: 'is required' })
      const row = await db
        .insertInto('encryption_keys')
        .values({
          id,
          org_id: caller.organization,
          name: input.name,
          type: input.type,
          recipient,
          sealed_identity: made?.sealed ?? null,
        })
        .returning(COLUMNS)
        .executeTakeFirstOrThrow()
      return shape(row)
    }),
})
