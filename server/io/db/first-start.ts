import { type Kysely, sql } from 'kysely'
import { SCOPES } from '#shared/api/tokens.ts'
import type { Id, OrgId, StorageId, TokenId } from '#shared/ids.ts'
import type { Random } from '#shared/world.ts'
import type { Caller } from '../../core/caller.ts'
import type { NewOrganization } from '../../core/wishes.ts'
import type { EncryptionKeys, FirstStart, Storages } from '../../ports.ts'
import { makeToken } from '../secrets.ts'
import type { Schema } from './schema.ts'

// 'hf-first' in ASCII.
const LOCK = '7523094288207667316'

export type FirstStartParts = {
  readonly random: Random
  makeId<Kind extends string>(): Id<Kind>
  /** The same statements as everywhere, on the transaction's connection. */
  storages(db: Kysely<Schema>): Storages
  keys(db: Kysely<Schema>): EncryptionKeys
}

/** The oldest; `null` before the first start. */
export const firstOrganization = async (db: Kysely<Schema>): Promise<OrgId | null> =>
  (
    await db
      .selectFrom('organizations')
      .select('id')
      .orderBy('created_at')
      .limit(1)
      .executeTakeFirst()
  )?.id ?? null

const hasOrganization = async (db: Kysely<Schema>): Promise<boolean> =>
  (await firstOrganization(db)) !== null

const insertOrganization = async (tx: Kysely<Schema>, wanted: NewOrganization): Promise<void> => {
  await tx
    .insertInto('organizations')
    .values({
      id: wanted.id,
      name: wanted.name,
      recovery_recipient: wanted.recoveryRecipient,
      signing_public_key: wanted.signingPublicKey,
    })
    .execute()
}

/** A token of all scopes for whoever has this data folder. */
export const addLocalToken = async (
  db: Kysely<Schema>,
  parts: Pick<FirstStartParts, 'random' | 'makeId'>,
  organization: Caller['organization'],
): Promise<{ readonly id: TokenId; readonly token: string }> => {
  const { token, hash } = makeToken(parts.random)
  const id = parts.makeId<'token'>()
  await db
    .insertInto('tokens')
    .values({ id, org_id: organization, name: 'local', hash, scopes: [...SCOPES] })
    .execute()
  return { id, token }
}

/**
 * The advisory lock is held by a session, not by a transaction: none stays open while the kit is shown. It goes with
 * its connection, so a process that dies holding it holds up nobody.
 */
export const firstStartIn = (db: Kysely<Schema>, parts: FirstStartParts): FirstStart => ({
  exclusively: async (work) =>
    db.connection().execute(async (held) => {
      if (await hasOrganization(held)) return null
      await sql`select pg_advisory_lock(${sql.raw(LOCK)})`.execute(held)
      try {
        return (await hasOrganization(held)) ? null : await work()
      } finally {
        await sql`select pg_advisory_unlock(${sql.raw(LOCK)})`.execute(held)
      }
    }),
  add: async (wanted) =>
    db.transaction().execute(async (tx) => {
      await insertOrganization(tx, wanted)
      const { id, token } = await addLocalToken(tx, parts, wanted.id)
      const caller: Caller = {
        organization: wanted.id,
        token: id,
        name: 'local',
        scopes: SCOPES,
        project: null,
        expiresAt: null,
      }
      await parts.keys(tx).add(caller, { name: 'default', type: 'managed' })
      const storage =
        wanted.storage === null ? null : await parts.storages(tx).add(caller, wanted.storage, null)
      return { token, storage: storage === null ? null : (storage.id as StorageId) }
    }),
})
