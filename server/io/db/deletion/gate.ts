/** The row of a vault as the gate of shared/decisions/0012-deletion-behind-one-gate.md. First of all locks. */
import { type Kysely, type Transaction, sql } from 'kysely'
import { fail } from '#shared/errors.ts'
import type { VaultId } from '#shared/ids.ts'
import type { Schema } from '../schema.ts'

const epochIn = (vault: VaultId, rows: readonly { readonly gc_epoch: number }[]): number => {
  const [row] = rows
  if (row === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: 'vault', id: vault })
  return row.gc_epoch
}

/**
 * For whoever makes packs needed: nothing is condemned, retired or deleted in the vault while the transaction lasts.
 * `for key share` is what foreign keys take too, and does not wait for number blocks. Answers the present gc_epoch.
 */
export const shareVault = async (trx: Transaction<Schema>, vault: VaultId): Promise<number> => {
  const { rows } = await sql<{ gc_epoch: number }>`
    select gc_epoch from vaults where id = ${vault} for key share`.execute(trx)
  return epochIn(vault, rows)
}

/** For whoever takes packs away: nobody else is inside. What is needed must be looked at by a later statement. */
export const ownVault = async (trx: Transaction<Schema>, vault: VaultId): Promise<void> => {
  const { rows } = await sql<{ gc_epoch: number }>`
    select gc_epoch from vaults where id = ${vault} for update`.execute(trx)
  epochIn(vault, rows)
}

/** Answers the new gc_epoch: the stamp of what is told to runs from now on. The vault is owned. */
export const raiseEpoch = async (trx: Kysely<Schema>, vault: VaultId): Promise<number> => {
  const { rows } = await sql<{ gc_epoch: number }>`
    update vaults set gc_epoch = gc_epoch + 1, updated_at = hf_now() where id = ${vault}
    returning gc_epoch`.execute(trx)
  return epochIn(vault, rows)
}
