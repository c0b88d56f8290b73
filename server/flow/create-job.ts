/** Adds a job after checking that what it points to is the caller's own. */
import type { Job, JobInput } from '#shared/api/jobs.ts'
import type { KeyId, ServerId, StorageId } from '#shared/ids.ts'
import type { Caller } from '../core/caller.ts'
import type { EncryptionKeys, Jobs, Servers, Storages } from '../ports.ts'
import { foundId } from './found.ts'

export type CreateJobParts = {
  readonly jobs: Jobs
  readonly servers: Servers
  readonly storages: Storages
  readonly keys: EncryptionKeys
}

/** Throws `RESOURCE_NOT_FOUND` naming the server, storage or key that is not there. */
export const createJob = async (
  parts: CreateJobParts,
  caller: Caller,
  input: JobInput,
): Promise<Job> => {
  const server = await foundId('server', input.server_id, async (id: ServerId) =>
    parts.servers.get(caller, id),
  )
  const storage = await foundId('storage', input.storage_id, async (id: StorageId) =>
    parts.storages.get(caller, id),
  )
  const key = await foundId('encryption key', input.encryption_key_id, async (id: KeyId) =>
    parts.keys.get(caller, id),
  )
  return parts.jobs.add(caller, input, { server, storage, key })
}
