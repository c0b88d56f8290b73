import { type Kysely, type Selectable, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import { genesisFingerprint } from '#shared/format/signers.ts'
import { recipientsFingerprint } from '#shared/format/keys.ts'
import type { OrgId } from '#shared/ids.ts'
import type { PreparedVault, VaultOf, Vaults } from '../../../ports.ts'
import { hold } from '../hold.ts'
import type { Schema } from '../schema.ts'
import { genesisOf, openVault } from './genesis.ts'
import { renew, type Resealed } from './renew.ts'

type Row = Pick<
  Selectable<Schema['vaults']>,
  'id' | 'storage_id' | 'encryption_key_id' | 'recipients'
> & { name: string; stale: boolean }

const prepared = (row: Row): PreparedVault => {
  const recipients = {
    content: [...row.recipients.content],
    recovery: [...row.recipients.recovery],
    list: [...row.recipients.list],
  }
  return {
    id: row.id,
    storage_id: row.storage_id,
    storage: row.name,
    encryption_key_id: row.encryption_key_id,
    recipients,
    fingerprint: recipientsFingerprint(recipients),
  }
}

const find = async (
  db: Kysely<Schema>,
  organization: OrgId,
  of: VaultOf,
): ReturnType<Vaults['find']> => {
  const row = await db
    .selectFrom('vaults')
    .innerJoin('storages', 'storages.id', 'vaults.storage_id')
    .innerJoin('servers', 'servers.id', 'vaults.server_id')
    .select([
      'vaults.id',
      'vaults.storage_id',
      'vaults.encryption_key_id',
      'vaults.recipients',
      'storages.name',
      sql<boolean>`coalesce(vaults.agent_key <> servers.signing_key, false)`.as('stale'),
    ])
    .where('vaults.org_id', '=', organization)
    .where('vaults.server_id', '=', of.server)
    .where('vaults.storage_id', '=', of.storage)
    .where('vaults.encryption_key_id', '=', of.key)
    .where('vaults.retired_at', 'is', null)
    .executeTakeFirst()
  return row === undefined ? null : { vault: prepared(row), stale: row.stale }
}

const recipients = async (
  db: Kysely<Schema>,
  organization: OrgId,
  of: VaultOf,
): ReturnType<Vaults['recipients']> => {
  const row = await db
    .selectFrom('encryption_keys')
    .innerJoin('organizations', 'organizations.id', 'encryption_keys.org_id')
    .innerJoin('servers', 'servers.org_id', 'encryption_keys.org_id')
    .innerJoin('storages', 'storages.org_id', 'encryption_keys.org_id')
    .select(['encryption_keys.recipient', 'organizations.recovery_recipient'])
    .where('encryption_keys.org_id', '=', organization)
    .where('encryption_keys.id', '=', of.key)
    .where('servers.id', '=', of.server)
    .where('storages.id', '=', of.storage)
    .executeTakeFirst()
  if (row === undefined)
    throw fail('RESOURCE_NOT_FOUND', {
      resource: 'server, storage and encryption key',
      id: `${of.server}, ${of.storage}, ${of.key}`,
    })
  if (row.recovery_recipient === null)
    throw fail('INVALID_STATE', { resource: 'The organization', status: 'without a recovery key' })
  return { content: [row.recipient], recovery: [row.recovery_recipient] }
}

/** `seal` and `reseal` put a list identity under the master key, for the vault whose id is given. */
export type VaultSealing = {
  seal(vault: string, identity: string): Uint8Array
  reseal: Resealed
}

export const vaultsIn = (db: Kysely<Schema>, sealing: VaultSealing): Vaults => ({
  find: async (organization, of) => find(db, organization, of),
  recipients: async (organization, of) => recipients(db, organization, of),
  add: async (organization, of, vault) => {
    const [list = ''] = vault.recipients.list
    // Index vaults_active: two callers that both make the vault meet there, and both then find the one that stayed.
    const insert = async (trx: Kysely<Schema>): Promise<unknown> =>
      trx
        .insertInto('vaults')
        .values({
          id: vault.id,
          org_id: organization,
          server_id: of.server,
          storage_id: of.storage,
          encryption_key_id: of.key,
          list_recipient: list,
          sealed_list_identity: sealing.seal(vault.id, vault.identity),
          recipients: vault.recipients,
          catalog_epoch: sql<number>`(select catalog_epoch from organizations where id = ${organization})`,
        })
        .onConflict((conflict) => conflict.doNothing())
        .execute()
    await db.transaction().execute(async (trx) => {
      await hold(trx, ['server', of.server], ['storage', of.storage], ['encryption key', of.key])
      await insert(trx)
    })
  },
  renew: async (organization, stale, id) => renew(db, { organization, stale, id }, sealing.reseal),
  genesis: async (vault) => genesisOf(db, vault),
  open: async (vault, genesis, key) =>
    openVault(db, vault, { bytes: genesis, key, fingerprint: genesisFingerprint(genesis) }),
})
