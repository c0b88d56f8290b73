/** Where backups go and what they are encrypted to: as named, or the only ones there are. */
import { EncryptionKey } from '#shared/api/encryption-keys.ts'
import { Storage } from '#shared/api/storages.ts'
import { fail } from '#shared/errors.ts'
import { type Api, listOf } from './api-client.ts'

type Named = { readonly id: string; readonly name: string }

const choose = <T extends Named>(all: readonly T[], what: string, wanted?: string): T => {
  if (wanted !== undefined) {
    const found = all.find(({ id, name }) => id === wanted || name === wanted)
    if (found === undefined) throw fail('RESOURCE_NOT_FOUND', { resource: what, id: wanted })
    return found
  }
  const [only] = all
  if (only === undefined) throw fail('WRONG_USE', { problem: `There is no ${what} yet: add one` })
  if (all.length > 1)
    throw fail('WRONG_USE', {
      problem: `Name the ${what}: there are ${all.map(({ name }) => name).join(', ')}`,
    })
  return only
}

export const findTargetStorage = async (
  api: Api,
  name: string | undefined,
  stop: AbortSignal,
): Promise<Storage> =>
  choose(await api.get('/v1/storages?limit=100', listOf(Storage), stop), 'storage', name)

export const findStorage = async (api: Api, name: string, stop: AbortSignal): Promise<Storage> =>
  findTargetStorage(api, name, stop)

export type Target = { readonly storage: Storage; readonly key: EncryptionKey }

export const findTarget = async (
  api: Api,
  named: { readonly storage?: string; readonly key?: string },
  stop: AbortSignal,
): Promise<Target> => {
  const storages = await api.get('/v1/storages?limit=100', listOf(Storage), stop)
  const keys = await api.get('/v1/encryption-keys?limit=100', listOf(EncryptionKey), stop)
  return {
    storage: choose(storages, 'storage', named.storage),
    key: choose(keys, 'encryption key', named.key),
  }
}
