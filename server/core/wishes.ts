/** What the flows ask to have stored, once every id in it was found for the caller. */
import type { StorageInput } from '#shared/api/storages.ts'
import type { JobId, KeyId, OrgId, ServerId, StorageId } from '#shared/ids.ts'
import type { Ms } from '#shared/units.ts'

/** What the first start adds; of its keys only the public halves come here. */
export type NewOrganization = {
  readonly id: OrgId
  readonly name: string
  readonly recoveryRecipient: string
  readonly signingPublicKey: Uint8Array
  readonly storage: StorageInput | null
}

export type JobTargets = {
  readonly server: ServerId
  readonly storage: StorageId
  readonly key: KeyId
}

export type NewBackup = {
  readonly job: JobId
  readonly name: string
  readonly description: string | null
  readonly external_id: string | null
}

export type NewEnrollment = {
  readonly server: ServerId
  readonly lifetime: Ms
  readonly vaults: readonly { readonly storage: StorageId; readonly key: KeyId }[]
}
