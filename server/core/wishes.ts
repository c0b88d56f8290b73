/** What the flows ask to have stored, once every id in it was found for the caller. */
import type { Tag } from '#shared/api/backups.ts'
import type { JobInput } from '#shared/api/jobs.ts'
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

/** What a version of a job says. */
export type JobDefinition = {
  readonly name: string
  readonly storage: StorageId
  readonly key: KeyId
  readonly sources: JobInput['sources']
  readonly external_id: string | null
  /** `null`: the usual. */
  readonly timeout: Ms | null
}

export type NewBackup = {
  readonly job: JobId
  readonly name: string
  readonly description: string | null
  readonly external_id: string | null
  readonly label: string | null
  readonly tags: readonly Tag[]
  /** `null`: the present one. */
  readonly version: number | null
}

export type NewEnrollment = {
  readonly server: ServerId
  readonly lifetime: Ms
  readonly vaults: readonly { readonly storage: StorageId; readonly key: KeyId }[]
}
