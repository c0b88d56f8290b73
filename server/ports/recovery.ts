/** What rebuilding the catalog from a bucket asks of the world. */
import type { OrgId, StorageId, VaultId } from '#shared/ids.ts'
import type {
  FromReader,
  RecoverBackup,
  RecoverChain,
  RecoverKit,
  RecoverObject,
  RecoverVault,
} from '#shared/protocol/recovery.ts'

/** Answers what the reader wants of an object; null: it is not there. `size` is that of the whole. */
export type AnswerRead = (
  key: string,
  range: { readonly start: number; readonly end: number },
) => Promise<{ readonly bytes: Uint8Array; readonly size: number } | null>

export type Found = Exclude<FromReader, { do: 'read' } | { do: 'kit' } | { do: 'end' }>
export type Ended = Extract<FromReader, { do: 'end' }>

/** The process that has the kit. */
export type RecoveryReader = {
  begin(kitFile: string): Promise<RecoverKit>
  /** What it finds of one vault, in order; resolves when it is through with it. */
  vault(
    ask: Omit<RecoverVault, 'do'>,
    read: AnswerRead,
    found: (found: Found) => Promise<void>,
  ): Promise<Ended>
}

/** A small object of the vault itself, as the storage has it. */
export type OwnFile = {
  readonly kind: 'signer' | 'key'
  readonly no: number
  readonly key: string
  readonly bytes: Uint8Array
  readonly etag: string
}

/** `etag` null: it is not there as it was signed. */
export type FoundObject = RecoverObject & { readonly etag: string | null }

/** The rows of one vault, written in one transaction: all of them, or nothing is changed. */
export type VaultRows = {
  /** First: the vault, its server and its key. */
  chain(chain: RecoverChain, own: readonly OwnFile[]): Promise<void>
  objects(objects: readonly FoundObject[]): Promise<void>
  /** By job, then by rising sequence. `false`: a backup of another vault has its id. */
  backup(backup: RecoverBackup, etag: string): Promise<boolean>
  /** Last. `unread`: something of it could not be read, so nothing of the vault may be deleted. */
  finish(how: { readonly unread: boolean }): Promise<void>
}

export type Recovery = {
  /** The list recipient of a vault that is in the catalog already. */
  listRecipient(organization: OrgId, vault: VaultId): Promise<string | null>
  vault(
    of: {
      readonly organization: OrgId
      readonly storage: StorageId
      readonly vault: VaultId
      /** Opens names from now on; not used where the vault is in the catalog already. */
      readonly identity: string
    },
    work: (rows: VaultRows) => Promise<void>,
  ): Promise<void>
  /** Numbers of packs begin anew, above all that the bucket has. Answers the epoch. */
  raise(organization: OrgId, above: number): Promise<number>
}
