/** The storages that are in use, opened once each. Implements `Stores`. */
import { fail } from '#shared/errors.ts'
import type { StorageId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { StorageCapabilities } from '#shared/api/storages.ts'
import { refuseFailed } from '../../core/storage-trial.ts'
import type { Stores } from '../../ports.ts'
import type { StorageAccess, StorageTests, StorageTrial } from '../../ports/storage-tests.ts'
import type { StorageSettings } from './client.ts'
import { examine, sendPut } from './probe.ts'
import { openS3Store, type S3Store } from './store.ts'

/** A changed endpoint or credential counts after at most this long. */
const FRESH: Ms = 15 * SECOND
const PROBE_LIMIT: Ms = 60 * SECOND

export type StorageRow = StorageSettings & {
  /** `null`: never probed. */
  readonly capabilities: Pick<StorageCapabilities, 'conditional_put'> | null
}

export type StorageRows = {
  load(storage: StorageId): Promise<StorageRow | null>
  remember(storage: StorageId, capabilities: StorageCapabilities): Promise<void>
}

type Opened = { readonly text: string; readonly store: S3Store; readonly checked: Ms }

export type OpenStores = Stores & {
  readonly tests: StorageTests
  close(): void
}

const settingsOf = (access: StorageAccess): StorageSettings => ({
  name: access.name,
  endpoint: access.endpoint,
  region: access.region,
  bucket: access.bucket,
  prefix: access.prefix ?? '',
  pathStyle: access.path_style ?? true,
  credentials: {
    accessKeyId: access.access_key_id,
    secretAccessKey: access.secret_access_key,
  },
})

const accessOf = (settings: StorageSettings): StorageAccess => ({
  name: settings.name,
  endpoint: settings.endpoint,
  region: settings.region,
  bucket: settings.bucket,
  prefix: settings.prefix,
  path_style: settings.pathStyle,
  access_key_id: settings.credentials.accessKeyId,
  secret_access_key: settings.credentials.secretAccessKey,
})

export type StoresParts = {
  readonly rows: StorageRows
  readonly clock: Clock
  readonly random: Random
}

const rowIn = async (rows: StorageRows, storage: StorageId): Promise<StorageRow> => {
  const row = await rows.load(storage)
  if (row === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'storage', id: storage })
  return row
}

export const createStores = ({ rows, clock, random }: StoresParts): OpenStores => {
  const opened = new Map<StorageId, Opened>()
  // Two that ask for one storage at once get one client, and one probe.
  const opening = new Map<StorageId, Promise<S3Store>>()

  const tryOut = async (settings: StorageSettings, span: Ms): Promise<StorageTrial> =>
    examine(openS3Store(settings, false, clock), span, { random, clock, send: sendPut })

  const look = async (storage: StorageId, row: StorageRow, span: Ms): Promise<StorageTrial> => {
    const trial = await tryOut(row, span)
    if (trial.ok && trial.capabilities !== null) await rows.remember(storage, trial.capabilities)
    return trial
  }

  const firstLook = async (
    storage: StorageId,
    row: StorageRow,
  ): Promise<Pick<StorageCapabilities, 'conditional_put'>> => {
    const trial = await look(storage, row, PROBE_LIMIT)
    refuseFailed(row.name, trial.steps)
    return { conditional_put: trial.capabilities?.conditional_put ?? false }
  }

  const reopen = async (storage: StorageId): Promise<S3Store> => {
    const row = await rowIn(rows, storage)
    const { conditional_put } = row.capabilities ?? (await firstLook(storage, row))
    const known = opened.get(storage)
    const text = JSON.stringify({ ...row, capabilities: { conditional_put } })
    if (known?.text === text) {
      opened.set(storage, { ...known, checked: clock.monotonic() })
      return known.store
    }
    const store = openS3Store(row, conditional_put, clock)
    // The one before is closed by whoever still uses it being done: its sockets time out by themselves.
    opened.set(storage, { text, store, checked: clock.monotonic() })
    return store
  }

  const openOnce = async (storage: StorageId): Promise<S3Store> => {
    const known = opened.get(storage)
    if (known !== undefined && clock.monotonic() - known.checked < FRESH) return known.store
    const started = opening.get(storage) ?? reopen(storage).finally(() => opening.delete(storage))
    opening.set(storage, started)
    return started
  }

  return {
    open: async (storage) => {
      const store = await openOnce(storage)
      await store.hearClock()
      return store
    },
    tests: {
      ofNew: async (access, span) => tryOut(settingsOf(access), span),
      ofStored: async (storage, change, span) => {
        const row = await rowIn(rows, storage)
        return Object.keys(change).length === 0
          ? look(storage, row, span)
          : tryOut(settingsOf({ ...accessOf(row), ...change }), span)
      },
    },
    close: () => {
      for (const { store } of opened.values()) store.close()
      opened.clear()
    },
  }
}
