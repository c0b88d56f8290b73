import type { Transaction } from 'kysely'
import type { VerificationLevel } from '#shared/api/verifications.ts'
import type { BackupId, OrgId, StorageId, VaultId, VerificationId } from '#shared/ids.ts'
import type { Schema } from '../schema.ts'
import { noteStatus } from '../tasks/tasks.ts'
import { NAMES } from './names.ts'

/** What nobody asked for but the storage itself: by its plan, or because something was found missing. */
export type OfStorage = {
  readonly id: VerificationId
  readonly org_id: OrgId
  readonly backup_id: BackupId
  readonly vault_id: VaultId
  readonly storage_id: StorageId
  readonly level: VerificationLevel
  readonly gc_floor: number
}

/** One that somebody has asked for, and that is not over, is as good. */
export const verifyForStorage = async (
  trx: Transaction<Schema>,
  wanted: OfStorage,
): Promise<void> => {
  const row = await trx
    .insertInto('verifications')
    .values({ ...wanted, requested_by: { name: 'storage' } })
    .onConflict((c) => c.doNothing())
    .returning('id')
    .executeTakeFirst()
  if (row !== undefined) await noteStatus(trx, NAMES, row.id)
}
