/** Adds, changes and tries out storages. What cannot be used is not stored. */
import type { Storage, StorageChange, StorageInput, StorageReport } from '#shared/api/storages.ts'
import { parseDuration } from '#shared/api/durations.ts'
import { fail } from '#shared/errors.ts'
import { parsePrefix } from '#shared/format/layout.ts'
import type { StorageId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { Caller } from '../core/caller.ts'
import { VERIFY_EVERY } from '../core/verification/plan.ts'
import { refuseFailed } from '../core/storage-trial.ts'
import type { Storages } from '../ports.ts'
import type { StorageAccess, StorageTests } from '../ports/storage-tests.ts'
import { found } from './found.ts'

export type StorageParts = {
  readonly storages: Storages
  readonly storageTests: StorageTests
  readonly clock: Clock
  /** How long a storage has to answer all that is asked: before it is stored, and when somebody tests it. */
  readonly patience: { readonly adding: Ms; readonly testing: Ms }
}

export const PATIENCE = { adding: 10 * SECOND, testing: 30 * SECOND }

const parseEndpoint = (text: string): string => {
  if (!URL.canParse(text))
    throw fail('VALIDATION_FAILED', { field: 'endpoint', problem: 'is not a URL' })
  return new URL(text).origin
}

/** What names a storage, in its one canonical form. */
const canonical = <T extends StorageChange>(input: T): T => ({
  ...input,
  ...(input.endpoint === undefined ? {} : { endpoint: parseEndpoint(input.endpoint) }),
  ...(input.prefix === undefined ? {} : { prefix: parsePrefix(input.prefix) }),
})

/** Before anything is tried out: the same answer that the row would give in the end. */
const refuseTakenName = async (storages: Storages, caller: Caller, name: string): Promise<void> => {
  const page = {
    limit: 1,
    offset: 0,
    sort: { field: 'created_at', descending: true },
    after: null,
  }
  const { total } = await storages.list(caller, page, { name })
  if (total > 0)
    throw fail('CONFLICT', {
      problem: `There is already a storage named "${name}"`,
      field: 'name',
      name,
    })
}

/** Throws `STORAGE_UNAVAILABLE` naming what failed; then nothing was stored. */
export const addStorage = async (
  { storages, storageTests, patience }: StorageParts,
  caller: Caller,
  given: StorageInput,
): Promise<Storage> => {
  const input = canonical(given)
  await refuseTakenName(storages, caller, input.name)
  const trial = await storageTests.ofNew(input, patience.adding)
  refuseFailed(input.name, trial.steps)
  return storages.add(caller, input, trial.capabilities)
}

const ACCESS = [
  'endpoint',
  'region',
  'bucket',
  'prefix',
  'path_style',
  'access_key_id',
  'secret_access_key',
] as const

/** Those fields that decide whether a storage can be reached. */
const accessIn = (change: StorageChange): Partial<StorageAccess> =>
  Object.fromEntries(
    ACCESS.flatMap((field) => (change[field] === undefined ? [] : [[field, change[field]]])),
  )

/** A change of how it is reached is tried out first, as a new one is. */
export const changeStorage = async (
  { storages, storageTests, patience }: StorageParts,
  caller: Caller,
  { id, ...given }: StorageChange & { readonly id: string },
): Promise<Storage> =>
  found('storage', id, async (storage: StorageId) => {
    const known = await storages.get(caller, storage)
    if (known === null || Object.keys(given).length === 0) return known
    const change = canonical(given)
    if (change.verify) parseDuration(change.verify.every, 'verify.every', VERIFY_EVERY)
    const access = accessIn(change)
    if (Object.keys(access).length === 0) return storages.change(caller, storage, change, null)
    const trial = await storageTests.ofStored(storage, access, patience.adding)
    refuseFailed(change.name ?? known.name, trial.steps)
    return storages.change(caller, storage, change, trial.capabilities)
  })

/** A storage that fails is an answer, not an error. */
export const testStorage = async (
  { storages, storageTests, patience, clock }: StorageParts,
  caller: Caller,
  id: string,
): Promise<StorageReport> =>
  found('storage', id, async (storage: StorageId) => {
    if ((await storages.get(caller, storage)) === null) return null
    const trial = await storageTests.ofStored(storage, {}, patience.testing)
    return { ...trial, tested_at: new Date(clock.now()).toISOString() }
  })
