import type { OrgId, VaultId } from '#shared/ids.ts'
import type { Default, DefaultTime, JsonObject, Time } from './schema-columns.ts'

export type Removals = {
  vault_id: VaultId
  object_key: string
  org_id: OrgId
  size: number
  noted_at: DefaultTime
}

export type Collections = {
  id: VaultId
  org_id: OrgId
  status: Default<'waiting' | 'working'>
  lease_epoch: Default<number>
  lease_until: Time | null
  attempt: Default<number>
  run_after: DefaultTime
  asked_at: Time | null
  progress: Default<JsonObject>
  error: JsonObject | null
  result: Default<JsonObject>
  unknown_objects: Default<number>
  unknown_keys: Default<string[]>
  listed_at: Time | null
  started_at: Time | null
  finished_at: Time | null
  updated_at: DefaultTime
}
