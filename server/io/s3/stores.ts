/** The storages that are in use, opened once each. Implements `Stores`. */
import { fail } from '#shared/errors.ts'
import type { StorageId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Random } from '#shared/world.ts'
import type { Stores } from '../../ports.ts'
import type { StorageSettings } from './client.ts'
import { type Capabilities, probe } from './probe.ts'
import { openS3Store, type S3Store } from './store.ts'

/** A changed endpoint or credential counts after at most this long. */
const FRESH: Ms = 15 * SECOND
const PROBE_LIMIT: Ms = 60 * SECOND

export type StorageRow = StorageSettings & {
  /** `null`: never probed. */
  readonly capabilities: Pick<Capabilities, 'conditional_put'> | null
}

export type StorageRows = {
  load(storage: StorageId): Promise<StorageRow | null>
  remember(storage: StorageId, capabilities: Capabilities): Promise<void>
}

type Opened = { readonly text: string; readonly store: S3Store; readonly checked: Ms }

export type OpenStores = Stores & {
  /** Looks at what the storage can do, and remembers it. */
  probe(storage: StorageId, stop: AbortSignal): Promise<Capabilities>
  close(): void
}

export type StoresParts = {
  readonly rows: StorageRows
  readonly clock: Clock
  readonly random: Random
}

export const createStores = ({ rows, clock, random }: StoresParts): OpenStores => {
  const opened = new Map<StorageId, Opened>()
  // Two that ask for one storage at once get one client, and one probe.
  const opening = new Map<StorageId, Promise<S3Store>>()

  const rowOf = async (storage: StorageId): Promise<StorageRow> => {
    const row = await rows.load(storage)
    if (row === null) throw fail('RESOURCE_NOT_FOUND', { resource: 'storage', id: storage })
    return row
  }

  const look = async (
    storage: StorageId,
    row: StorageRow,
    stop: AbortSignal,
  ): Promise<Capabilities> => {
    const store = openS3Store(row, false, clock)
    try {
      const capabilities = await probe(row.name, store, [random, stop])
      await rows.remember(storage, capabilities)
      return capabilities
    } finally {
      store.close()
    }
  }

  const reopen = async (storage: StorageId): Promise<S3Store> => {
    const row = await rowOf(storage)
    const { conditional_put } =
      row.capabilities ?? (await look(storage, row, AbortSignal.timeout(PROBE_LIMIT)))
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

  return {
    open: async (storage) => {
      const known = opened.get(storage)
      if (known !== undefined && clock.monotonic() - known.checked < FRESH) return known.store
      const started = opening.get(storage) ?? reopen(storage).finally(() => opening.delete(storage))
      opening.set(storage, started)
      return started
    },
    probe: async (storage, stop) => look(storage, await rowOf(storage), stop),
    close: () => {
      for (const { store } of opened.values()) store.close()
      opened.clear()
    },
  }
}
