/**
 * Collects one vault: what nothing needs is condemned, what was condemned long enough ago is deleted in the catalog, and only
 * then is the store called. Nothing is read. Each step may stop anywhere and be done again.
 */
import { hintKey, vaultPrefix } from '#shared/format/layout.ts'
import type { VaultId } from '#shared/ids.ts'
import type { Log } from '#shared/world.ts'
import { packsToRetire } from '../../core/deletion.ts'
import type { Stores, VaultStore } from '../../ports.ts'
import type { Collected, CollectionJob, Collections, Swept } from '../../ports/deletion.ts'
import type { Work } from '../tasks/run-task.ts'

export type CollectParts = {
  readonly collections: Collections
  readonly stores: Stores
  readonly log: Log
}

/** Names of one call of the store, and of one comparison. */
const AT_ONCE = 1000
/** Unknown objects that are named; all are counted. */
const MOST_NAMED = 100

type Tally = { -readonly [K in keyof Collected]: Collected[K] }

const add = (tally: Tally, { deleted, bytes }: Swept): void => {
  tally.deleted += deleted
  tally.bytes += bytes
}

type At = {
  readonly vault: VaultId
  readonly tally: Tally
  readonly stop: AbortSignal
  tell(): void
}

const condemnAll = async ({ collections }: CollectParts, at: At): Promise<void> => {
  for (let after: number | null = 0; after !== null;) {
    at.stop.throwIfAborted()
    const { condemned, next } = await collections.condemn(at.vault, after)
    at.tally.condemned += condemned
    after = next
    at.tell()
  }
}

const deleteAll = async ({ collections }: CollectParts, at: At): Promise<void> => {
  for (let after: number | null = 0; after !== null;) {
    at.stop.throwIfAborted()
    const { revived, next, ...swept } = await collections.remove(at.vault, after)
    at.tally.revived += revived
    add(at.tally, swept)
    after = next
    at.tell()
  }
}

const purgeAll = async ({ collections }: CollectParts, at: At): Promise<void> => {
  for (let more = true; more;) {
    at.stop.throwIfAborted()
    const { purged, ...swept } = await collections.purge(at.vault)
    at.tally.purged += purged
    add(at.tally, swept)
    more = purged > 0
  }
  for (let more = true; more;) {
    at.stop.throwIfAborted()
    const swept = await collections.sweep(at.vault)
    add(at.tally, swept)
    more = swept.deleted > 0
  }
}

/** Whatever a crash left undone too. The store may be told twice of an object; no key names another one later. */
const emptyStore = async (
  { collections }: CollectParts,
  at: At,
  store: Pick<VaultStore, 'remove'>,
): Promise<void> => {
  for (;;) {
    const keys = await collections.removals(at.vault, AT_ONCE)
    if (keys.length === 0) return
    await store.remove(keys, at.stop)
    await collections.removed(at.vault, keys)
    at.tally.removed += keys.length
    at.tell()
  }
}

/** An object without a row is reported, never deleted (FORMAT.md). Names only; nothing is read. */
const compareNames = async (
  { collections, log }: CollectParts,
  at: At,
  store: Pick<VaultStore, 'list'>,
): Promise<void> => {
  const unknown: string[] = []
  let count = 0
  let batch: string[] = []
  const compare = async (): Promise<void> => {
    const found = await collections.unknown(at.vault, batch)
    count += found.length
    unknown.push(...found.slice(0, MOST_NAMED - unknown.length))
    batch = []
  }
  const hint = hintKey(at.vault)
  for await (const key of store.list(vaultPrefix(at.vault), at.stop)) {
    if (key !== hint) batch.push(key)
    if (batch.length >= AT_ONCE) await compare()
  }
  await compare()
  if (count > 0)
    log.warn({ vault: at.vault, count, first: unknown[0] }, 'objects that no row knows')
  await collections.listed(at.vault, count, unknown)
}

const collect = async (parts: CollectParts, at: At, job: CollectionJob): Promise<void> => {
  await purgeAll(parts, at)
  await condemnAll(parts, at)
  at.tally.retired += await parts.collections.retire(at.vault, packsToRetire)
  await deleteAll(parts, at)
  const store = await parts.stores.open(job.storage)
  await emptyStore(parts, at, store)
  if (job.isListingDue) await compareNames(parts, at, store)
}

export const collectGarbage =
  (parts: CollectParts): Work<CollectionJob, Collected> =>
  async (claim, how) => {
    const { job } = claim
    const tally: Tally = {
      purged: 0,
      condemned: 0,
      retired: 0,
      revived: 0,
      deleted: 0,
      bytes: 0,
      removed: 0,
    }
    const tell = (): void => how.report({ ...tally })
    await collect(parts, { vault: job.id, tally, stop: how.stop, tell }, job)
    await parts.collections.done(claim, tally)
    if (tally.condemned + tally.deleted + tally.retired > 0)
      parts.log.info({ vault: job.id, ...tally }, 'collected a vault')
  }
