import { type Kysely, sql, type Transaction } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { Facts } from '#shared/protocol/hello.ts'
import type { AgentKeys, EnrolledAgent } from '../../../ports.ts'
import { brokenConstraint } from '../errors.ts'
import type { Schema } from '../schema.ts'

type Newcomer = AgentKeys & { readonly facts: Facts }
type Token = Pick<EnrolledAgent, 'server' | 'vaults'> & { readonly id: string }

/** The row lock makes the token single-use: whoever comes second waits here, and then sees `used_at`. */
const takeToken = async (
  trx: Transaction<Schema>,
  hash: Uint8Array,
): Promise<Token | { readonly refused: string }> => {
  const token = await trx
    .selectFrom('enrollment_tokens')
    .select(['id', 'server_id', 'vaults', 'used_at'])
    .select(sql<boolean>`expires_at <= hf_now()`.as('expired'))
    .where('hash', '=', hash)
    .forUpdate()
    .executeTakeFirst()
  if (token === undefined) return { refused: 'the token is unknown' }
  if (token.used_at !== null) return { refused: 'the token was used already' }
  if (token.expired) return { refused: 'the token has expired' }
  await trx
    .updateTable('enrollment_tokens')
    .set({ used_at: sql<Date>`hf_now()` })
    .where('id', '=', token.id)
    .execute()
  const vaults = token.vaults.map((pair) => ({
    storage: pair.storage_id,
    key: pair.encryption_key_id,
  }))
  return { id: token.id, server: token.server_id, vaults }
}

const bindKeys = async (
  trx: Transaction<Schema>,
  token: Token,
  newcomer: Newcomer,
): Promise<EnrolledAgent | { readonly refused: string }> => {
  const server = await trx
    .updateTable('servers')
    .set((is) => ({
      signing_key: newcomer.signingKey,
      box_key: newcomer.boxKey,
      facts: { ...newcomer.facts },
      agent_version: newcomer.facts.agent_version,
      // It never falls, so that the connections of a server stay in order across enrolments.
      join_counter: is('join_counter', '+', 1),
      status: 'online',
      enrolled_at: sql<Date>`hf_now()`,
      // A token that was made after a revocation lets another agent in.
      revoked_at: null,
      last_seen_at: sql<Date>`hf_now()`,
      updated_at: sql<Date>`hf_now()`,
    }))
    .where('id', '=', token.server)
    .where('deleted_at', 'is', null)
    .returning(['org_id', 'join_counter'])
    .executeTakeFirst()
  if (server === undefined) return { refused: 'the server was removed' }
  const organization = await trx
    .selectFrom('organizations')
    .select(['id', 'name', 'signing_public_key', 'catalog_epoch'])
    .where('id', '=', server.org_id)
    .executeTakeFirstOrThrow()
  if (organization.signing_public_key === null)
    throw fail('INVALID_STATE', { resource: 'The organization', status: 'without a recovery key' })
  return {
    server: token.server,
    vaults: token.vaults,
    joins: server.join_counter,
    catalogEpoch: organization.catalog_epoch,
    organization: {
      id: organization.id,
      name: organization.name,
      signing_key: Buffer.from(organization.signing_public_key).toString('base64url'),
    },
  }
}

/** One transaction: a refusal after the token was taken rolls that back with it. */
export const enroll = async (
  db: Kysely<Schema>,
  hash: Uint8Array,
  newcomer: Newcomer,
): Promise<EnrolledAgent | { readonly refused: string }> => {
  try {
    return await db.transaction().execute(async (trx) => {
      const token = await takeToken(trx, hash)
      if ('refused' in token) return token
      const bound = await bindKeys(trx, token, newcomer)
      if ('refused' in bound) throw fail('ENROLMENT_REFUSED', { problem: bound.refused })
      return bound
    })
  } catch (error) {
    if (brokenConstraint(error) !== 'servers_signing_key') throw error
    return { refused: 'another server has this agent key' }
  }
}
