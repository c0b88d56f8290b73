/** Adds a storage after bringing what names it into its one canonical form. */
import type { Storage, StorageInput } from '#shared/api/storages.ts'
import { fail } from '#shared/errors.ts'
import { parsePrefix } from '#shared/format/layout.ts'
import type { Caller } from '../core/caller.ts'
import type { Storages } from '../ports.ts'

const parseEndpoint = (text: string): string => {
  if (!URL.canParse(text))
    throw fail('VALIDATION_FAILED', { field: 'endpoint', problem: 'is not a URL' })
  return new URL(text).origin
}

export const addStorage = async (
  storages: Storages,
  caller: Caller,
  input: StorageInput,
): Promise<Storage> =>
  storages.add(caller, {
    ...input,
    endpoint: parseEndpoint(input.endpoint),
    prefix: parsePrefix(input.prefix ?? ''),
  })
