/** Adds and changes jobs, after checking that what they point to is the caller's own. */
import { parseDuration } from '#shared/api/durations.ts'
import type { Job, JobChange, JobInput } from '#shared/api/jobs.ts'
import type { JobId, KeyId, ServerId, StorageId } from '#shared/ids.ts'
import { DAY, MINUTE, type Ms } from '#shared/units.ts'
import type { Caller } from '../core/caller.ts'
import type { JobDefinition } from '../core/wishes.ts'
import type { EncryptionKeys, Jobs, Servers, Storages } from '../ports.ts'
import { found, foundId } from './found.ts'

export type JobParts = {
  readonly jobs: Jobs
  readonly servers: Servers
  readonly storages: Storages
  readonly keys: EncryptionKeys
}

const TIMEOUT = { least: MINUTE, most: 30 * DAY }

const parseTimeout = (given: string | number): Ms =>
  parseDuration(given, 'timeout', [TIMEOUT.least, TIMEOUT.most])

const storageOf = async ({ storages }: JobParts, caller: Caller, id: string): Promise<StorageId> =>
  foundId('storage', id, async (storage: StorageId) => storages.get(caller, storage))

const keyOf = async ({ keys }: JobParts, caller: Caller, id: string): Promise<KeyId> =>
  foundId('encryption key', id, async (key: KeyId) => keys.get(caller, key))

/** Throws `RESOURCE_NOT_FOUND` naming the server, storage or key that is not there. */
export const createJob = async (parts: JobParts, caller: Caller, input: JobInput): Promise<Job> => {
  const server = await foundId('server', input.server_id, async (id: ServerId) =>
    parts.servers.get(caller, id),
  )
  return parts.jobs.add(caller, server, {
    name: input.name,
    storage: await storageOf(parts, caller, input.storage_id),
    key: await keyOf(parts, caller, input.encryption_key_id),
    sources: input.sources,
    external_id: input.external_id ?? null,
    timeout: input.timeout === undefined ? null : parseTimeout(input.timeout),
  })
}

const changesIn = async (
  parts: JobParts,
  caller: Caller,
  change: JobChange,
): Promise<Partial<JobDefinition>> => {
  const { name, sources, external_id, storage_id, encryption_key_id, timeout } = change
  return {
    ...(name === undefined ? {} : { name }),
    ...(sources === undefined ? {} : { sources }),
    ...(external_id === undefined ? {} : { external_id }),
    ...(storage_id === undefined ? {} : { storage: await storageOf(parts, caller, storage_id) }),
    ...(encryption_key_id === undefined
      ? {}
      : { key: await keyOf(parts, caller, encryption_key_id) }),
    ...(timeout === undefined ? {} : { timeout: timeout === null ? null : parseTimeout(timeout) }),
  }
}

export const changeJob = async (
  parts: JobParts,
  caller: Caller,
  { id, ...change }: JobChange & { readonly id: string },
): Promise<Job> =>
  found('job', id, async (job: JobId) => {
    if ((await parts.jobs.get(caller, job)) === null) return null
    return parts.jobs.change(caller, job, await changesIn(parts, caller, change))
  })
