import { type RawBuilder, sql } from 'kysely'
import type { BackupId, OrgId, StorageId, VaultId } from '#shared/ids.ts'
import type { Caller } from '../../../core/caller.ts'
import type { CommittedBackup } from '../../../ports/reading.ts'
import type { Actor } from '../schema-columns.ts'

/** The columns of a task of the control plane that a person asks for and that reads a backup. */
export type Asked = {
  readonly org_id: OrgId
  readonly backup_id: BackupId
  readonly vault_id: VaultId
  readonly storage_id: StorageId
  readonly requested_by: Actor
  /** Nothing that was condemned by now is counted on, and nothing after it deleted. */
  readonly gc_floor: RawBuilder<number>
}

export const askedBy = (caller: Caller, of: CommittedBackup): Asked => ({
  org_id: of.organization,
  backup_id: of.backup,
  vault_id: of.vault,
  storage_id: of.storage,
  requested_by: { name: caller.name, token_id: caller.token },
  gc_floor: sql<number>`(select gc_epoch from vaults where id = ${of.vault})`,
})
