/** What the catalog knows of committed backups, for those who read them: browsing, downloads, verification, restores. */
import type { PackClass } from '#shared/format/layout.ts'
import type { Identity } from '#shared/format/keys.ts'
import type { BackupId, JobId, KeyId, OrgId, ServerId, StorageId, VaultId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'

/** Who asks: an organization, and the project that it is bound to. */
export type Asker = Pick<Caller, 'organization' | 'project'>

/** An object as it was stored. `key` is below the storage's prefix, `sha256` base64url of its bytes. */
export type StoredRow = {
  readonly key: string
  readonly size: number
  readonly sha256: string
  /** Age header and payload nonce: the first bytes of the object. */
  readonly header: Uint8Array
  /** Of a tree or record that the list identity does not open, since it is older than a recovery. */
  readonly fileKey?: Uint8Array
}

export type PackObject = StoredRow & { readonly no: number; readonly class: PackClass }

/** A file `keys/<n>` of a vault. */
export type SecretObject = StoredRow & { readonly no: number }

export type CommittedBackup = {
  readonly backup: BackupId
  readonly organization: OrgId
  readonly job: JobId
  readonly server: ServerId
  readonly vault: VaultId
  readonly storage: StorageId
  readonly key: KeyId
  readonly keyType: 'managed' | 'customer'
  /** The vault's content recipients: whom content is sealed to, and downloads anew. */
  readonly contentRecipients: readonly string[]
  readonly sequence: number
  readonly record: StoredRow
  /** The bytes of the chain of signers, the genesis first. */
  readonly signers: readonly Uint8Array[]
}

export type VaultIdentities = {
  /** Opens trees and records. */
  readonly list: Identity
  /** Opens content and vault secrets; null where only the customer has it. */
  readonly content: Identity | null
}

export type Reading = {
  /** Null where it is not the asker's; `INVALID_STATE` while, or when, it is no committed backup. */
  committed(asker: Asker, backup: BackupId): Promise<CommittedBackup | null>
  /** The objects of these numbers that the storage has, in any order. */
  packs(vault: VaultId, nos: readonly number[]): Promise<readonly PackObject[]>
  /** Packs and trees that the backup uses, above number `after`, ascending; fewer than `limit` are the last. */
  packsOf(
    of: Pick<CommittedBackup, 'vault' | 'job' | 'sequence'>,
    after: number,
    limit: number,
  ): Promise<readonly PackObject[]>
  /** Those of these numbers that the backup uses. */
  packsAmong(
    of: Pick<CommittedBackup, 'vault' | 'job' | 'sequence'>,
    nos: readonly number[],
  ): Promise<readonly PackObject[]>
  /** Held only as long as they are used. */
  identities(vault: VaultId): Promise<VaultIdentities>
  /** The files of the vault secret, the newest first; all hold the same one. */
  secrets(vault: VaultId): Promise<readonly SecretObject[]>
  /** Notes that the backup was used: a browse, a download, a restore. */
  used(backup: BackupId): Promise<void>
}

/** The identities of a vault, from a cache of a minute: for whoever opens batch after batch. */
export type Identities = (vault: VaultId) => Promise<VaultIdentities>
