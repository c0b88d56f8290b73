import { type Kysely, sql } from 'kysely'
import type { OrgId, VaultId } from '#shared/ids.ts'
import type { Schema } from '../schema.ts'

/** Opens what was sealed for the vault `from` and seals it for `to`. */
export type Resealed = (from: string, to: string, sealed: Uint8Array) => Uint8Array

/**
 * Another agent key cannot continue a vault's chain of signers, so a new vault begins, for the same recipients: what the
 * person confirmed stays true. The row lock lets one of two callers do it; the index vaults_active would refuse the other.
 */
export const renew = async (
  db: Kysely<Schema>,
  of: { readonly organization: OrgId; readonly stale: VaultId; readonly id: VaultId },
  reseal: Resealed,
): Promise<void> =>
  db.transaction().execute(async (trx) => {
    const old = await trx
      .selectFrom('vaults')
      .selectAll()
      .where('org_id', '=', of.organization)
      .where('id', '=', of.stale)
      .where('retired_at', 'is', null)
      .forUpdate()
      .executeTakeFirst()
    if (old === undefined) return
    await trx
      .updateTable('vaults')
      .set({ retired_at: sql<Date>`hf_now()`, updated_at: sql<Date>`hf_now()` })
      .where('id', '=', of.stale)
      .execute()
    await trx
      .insertInto('vaults')
      .values({
        id: of.id,
        org_id: old.org_id,
        server_id: old.server_id,
        storage_id: old.storage_id,
        encryption_key_id: old.encryption_key_id,
        list_recipient: old.list_recipient,
        sealed_list_identity: reseal(of.stale, of.id, old.sealed_list_identity),
        recipients: old.recipients,
        catalog_epoch: sql<number>`(select catalog_epoch from organizations where id = ${of.organization})`,
      })
      .execute()
  })
