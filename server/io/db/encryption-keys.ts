import {
  type Kysely,
  type Selectable,
  type SelectQueryBuilder,
  sql,
  type Transaction,
} from 'kysely'
import type { EncryptionKey, ExportedKey } from '#shared/api/encryption-keys.ts'
import { fail } from '#shared/errors.ts'
import type { Id, KeyId } from '#shared/ids.ts'
import type { Caller } from '../../core/caller.ts'
import type { EncryptionKeys } from '../../ports.ts'
import { audit } from './audit.ts'
import { refuseDependents } from './dependencies.ts'
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

export type KeyParts = {
  readonly makeIdentity: MakeIdentity
  readonly openIdentity: (id: KeyId, sealed: Uint8Array) => string
  makeId<Kind extends string>(): Id<Kind>
}

const lock = async (
  trx: Transaction<Schema>,
  caller: Caller,
  id: KeyId,
): Promise<(Row & Pick<Selectable<Schema['encryption_keys']>, 'sealed_identity'>) | undefined> =>
  visible(trx, caller).select('sealed_identity').where('id', '=', id).forUpdate().executeTakeFirst()

const exported = async (
  trx: Transaction<Schema>,
  [parts, caller]: readonly [KeyParts, Caller],
  id: KeyId,
): Promise<ExportedKey | null> => {
  const row = await lock(trx, caller, id)
  if (row === undefined) return null
  const { sealed_identity: sealed, ...key } = row
  if (sealed === null)
    throw fail('KEY_REQUIRED', {
      id,
      problem: 'the identity of a customer key is only with the customer',
    })
  await audit(trx, [caller, parts.makeId<'audit entry'>()], {
    action: 'encryption-key.exported',
    subject: ['encryption key', id],
    details: { name: key.name, recipient: key.recipient },
  })
  return { ...shape(key), identity: parts.openIdentity(id, sealed) }
}

/** Jobs and vaults that are made just now wait for this lock, or this for them (hold.ts). */
const remove = async (
  trx: Transaction<Schema>,
  [parts, caller]: readonly [KeyParts, Caller],
  id: KeyId,
): Promise<boolean> => {
  const row = await lock(trx, caller, id)
  if (row === undefined) return false
  await refuseDependents(
    trx,
    ['encryption key', id],
    [
      {
        kind: 'jobs',
        rows: sql`select id from jobs where encryption_key_id = ${id} and deleted_at is null`,
      },
      { kind: 'vaults', rows: sql`select id from vaults where encryption_key_id = ${id}` },
    ],
  )
  await trx
    .updateTable('encryption_keys')
    .set({ deleted_at: sql<Date>`hf_now()`, sealed_identity: null })
    .where('id', '=', id)
    .execute()
  await audit(trx, [caller, parts.makeId<'audit entry'>()], {
    action: 'encryption-key.removed',
    subject: ['encryption key', id],
    details: { name: row.name, recipient: row.recipient },
  })
  return true
}

export const encryptionKeysIn = (db: Kysely<Schema>, parts: KeyParts): EncryptionKeys => ({
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
      const id = parts.makeId<'encryption key'>()
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
  export: async (caller, id) =>
    db.transaction().execute(async (trx) => exported(trx, [parts, caller], id)),
  remove: async (caller, id) =>
    db.transaction().execute(async (trx) => remove(trx, [parts, caller], id)),
})
