import { type Kysely, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { VaultId } from '#shared/ids.ts'
import type { Vaults } from '../../../ports.ts'
import type { Schema } from '../schema.ts'

export const genesisOf = async (
  db: Kysely<Schema>,
  vault: VaultId,
): ReturnType<Vaults['genesis']> => {
  const row = await db
    .selectFrom('vaults')
    .innerJoin('servers', 'servers.id', 'vaults.server_id')
    .innerJoin('organizations', 'organizations.id', 'vaults.org_id')
    .select(['vaults.recipients', 'vaults.genesis', 'vaults.unwritten_at', 'servers.signing_key'])
    .select('vaults.signers')
    .select('organizations.signing_public_key')
    .where('vaults.id', '=', vault)
    .executeTakeFirst()
  if (row === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: 'vault', id: vault })
  const { signing_key, signing_public_key } = row
  if (signing_key === null || signing_public_key === null)
    throw fail('INVALID_STATE', { resource: 'The server', status: 'not enrolled' })
  return {
    recipients: {
      content: [...row.recipients.content],
      recovery: [...row.recipients.recovery],
      list: [...row.recipients.list],
    },
    agentKey: signing_key,
    organizationKey: signing_public_key,
    known: row.genesis,
    unwritten: row.unwritten_at !== null,
    later: row.signers.map(({ key, bytes }) => ({
      key,
      bytes: new Uint8Array(Buffer.from(bytes, 'base64url')),
    })),
  }
}

/**
 * Only the first genesis counts; the same one again is fine. The agent key in office is the enrolled one: the caller has
 * verified that the genesis names it.
 */
export const openVault = async (
  db: Kysely<Schema>,
  vault: VaultId,
  genesis: { readonly bytes: Uint8Array; readonly key: string; readonly fingerprint: string },
): Promise<boolean> => {
  const fingerprint = new Uint8Array(Buffer.from(genesis.fingerprint, 'base64url'))
  const { rows } = await sql<{ id: string }>`
    update vaults v set genesis = ${genesis.bytes}, genesis_fingerprint = ${fingerprint}, genesis_key = ${genesis.key},
      unwritten_at = null, agent_key = s.signing_key, updated_at = hf_now()
    from servers s
    where v.id = ${vault} and s.id = v.server_id and (v.genesis is null or v.genesis = ${genesis.bytes})
    returning v.id`.execute(db)
  return rows.length > 0
}
