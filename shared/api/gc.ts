/** What can be deleted of a storage without reading anything, and what was. */
import { type Static, Type } from '../schema.ts'
import { body, bytes, count, id, nullable, oneOf, time } from './shapes.ts'

export const GcInput = body({
  /** Only say what would be done. */
  dry_run: Type.Optional(Type.Boolean()),
})

const Amount = Type.Object({ objects: count, bytes })

const amounts = {
  /** All that the catalog has in the storage: packs and trees. */
  stored: Amount,
  /** What kept backups and open runs need of that. */
  needed: Amount,
  /** Nothing needs it: would be condemned now, and deleted after the grace period. */
  condemn: Amount,
  /** Condemned, and its time has come: would be deleted now. */
  delete: Amount,
  /** Condemned, and kept until the grace period is over and no open run may count on it. */
  waiting: Amount,
  /** Mostly dead: runs write anew what is still used of it, and it goes with its last older backup. */
  retired: Amount,
}

export const GcVault = Type.Object({
  vault_id: id,
  server_id: id,
  status: oneOf('waiting', 'working'),
  ...amounts,
  /** Deleted in the catalog; the storage has yet to confirm it. */
  removing: Amount,
  /** Objects in the vault's folder that the catalog does not know: reported, never deleted. */
  unknown_objects: count,
  /** The first of them. */
  unknown_keys: Type.Array(Type.String()),
  last_finished_at: nullable(time),
  next_at: time,
  /** Why the last attempt failed. */
  error: nullable(Type.Object({ code: Type.String(), message: Type.String() })),
})

export const GcReport = Type.Object({
  storage_id: id,
  dry_run: Type.Boolean(),
  /** `working`: vaults are being collected, or are about to. */
  status: oneOf('waiting', 'working'),
  ...amounts,
  vault_count: count,
  /** The 1000 with the most to delete. */
  vaults: Type.Array(GcVault),
})

export type GcInput = Static<typeof GcInput>
export type GcVault = Static<typeof GcVault>
export type GcReport = Static<typeof GcReport>
