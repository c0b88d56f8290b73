/** Collections of a vault, one after another, as a worker does them. */
import { collectGarbage } from '#server/flow/deletion/collect.ts'
import { collectionsIn } from '#server/io/db/deletion/collections.ts'
import type { Database } from '#server/io/db/open.ts'
import type { Stores, VaultStore } from '#server/ports.ts'
import type { Collected } from '#server/ports/deletion.ts'
import { HOUR, SECOND } from '#shared/units.ts'
import { sql } from 'kysely'
import { memoryLog } from './log.ts'

/** What the storage was asked for. */
export type Counts = { gets: number; lists: number; removed: number }

/** A storage that counts; `isAway`: it does not delete. */
export const counting = (
  stores: Stores,
  counts: Counts,
  isAway: () => boolean = () => false,
): Stores => ({
  open: async (id) => {
    const store = await stores.open(id)
    const counted: VaultStore = {
      ...store,
      get: async (...args) => {
        counts.gets += 1
        return store.get(...args)
      },
      list: (...args) => {
        counts.lists += 1
        return store.list(...args)
      },
      remove: async (keys, stop) => {
        if (isAway()) throw new Error('the storage is away')
        counts.removed += keys.length
        await store.remove(keys, stop)
      },
    }
    return counted
  },
})

const stop = new AbortController().signal

/** Every vault whose time has come, or that somebody asked for; what each did. */
export const collectAll = async (
  { db }: Pick<Database, 'db'>,
  stores: Stores,
): Promise<readonly Collected[]> => {
  const collections = collectionsIn(db)
  const log = memoryLog()
  const done: Collected[] = []
  await sql`update collections set run_after = hf_now()`.execute(db)
  for (const claim of await collections.claim(100, 30 * SECOND)) {
    const work = collectGarbage({
      collections: {
        ...collections,
        done: async (held, collected) => {
          done.push(collected)
          return collections.done(held, collected)
        },
      },
      stores,
      log,
    })
    try {
      await work(claim, { stop, report: () => undefined })
    } catch (error) {
      await collections.release(claim, null, 0)
      throw error
    }
  }
  return done
}

/** Longer than the grace period of 72 hours. */
export const GRACE_OVER = 73 * HOUR
