import type { Kysely } from 'kysely'
import { fail, hasCode } from '#shared/errors.ts'
import type { Sealing } from '../secrets.ts'
import { credentialsPurpose } from './credentials.ts'
import { identityPurpose } from './encryption-keys.ts'
import type { Schema } from './schema.ts'

const wrongKey = (cause: unknown): Error =>
  fail(
    'VALIDATION_FAILED',
    { field: 'HOLDFAST_MASTER_KEY', problem: 'is not the one that this database is sealed under' },
    { cause },
  )

/** Opens one sealed secret, if there is any: with another key nothing would work, and new secrets would mix two keys. */
export const checkMasterKey = async (db: Kysely<Schema>, sealing: Sealing): Promise<void> => {
  const key = await db
    .selectFrom('encryption_keys')
    .where('sealed_identity', 'is not', null)
    .select(['id', 'sealed_identity as sealed'])
    .limit(1)
    .executeTakeFirst()
  const storage = await db
    .selectFrom('storages')
    .where('deleted_at', 'is', null)
    .select(['id', 'sealed_credentials as sealed'])
    .limit(1)
    .executeTakeFirst()
  try {
    if (key?.sealed) sealing.open(identityPurpose(key.id), key.sealed)
    if (storage !== undefined) sealing.open(credentialsPurpose(storage.id), storage.sealed)
  } catch (error) {
    throw hasCode(error, 'DAMAGED') ? wrongKey(error) : error
  }
}
