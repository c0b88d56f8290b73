/**
 * Before a run builds upon what the catalog knows, and again before its commit: is it still in the bucket? One look at the
 * newest record, at the vault's signers and secrets, and at a few packs. Where anything of that is gone, every pack of the
 * vault is looked for, and what is not there is *lost*: shared/decisions/0013-what-the-bucket-does-not-have.md.
 */
import { createHash } from 'node:crypto'
import { fail, problemOf } from '#shared/errors.ts'
import type { JobId, StorageId, VaultId } from '#shared/ids.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { GrantedObject, VaultStore } from '../ports.ts'
import { type AgentParts, eachOf } from './agent-parts.ts'

/** Packs that one check looks at. A bucket that lost a tenth of them is noticed by 6 of 10 checks, one that lost half by nearly all. */
const POINTS = 8
/** HEADs at once. */
const LOOKS_AT_ONCE = 32
/** Packs of one step: what is lost of them is noted before the next are looked at. */
const STEP = 1000
/** Before the second look: a store may be wrong once. */
const BREATH: Ms = SECOND / 4

export type Checked = {
  readonly vault: VaultId
  readonly job: JobId
  readonly storage: StorageId
}

export type Missing = {
  readonly packs: number
  readonly record: boolean
  /** Signers or secrets. */
  readonly own: boolean
}

const NOTHING: Missing = { packs: 0, record: false, own: false }

type Looking = {
  readonly parts: Pick<AgentParts, 'clock' | 'spotChecks' | 'objects'>
  readonly store: Pick<VaultStore, 'head' | 'get'>
  readonly at: Checked
  readonly stop: AbortSignal
}

/** Its ETag may change where a bucket was moved: only size counts, for what is too large to be read each time. */
const isThere = async ({ store, stop }: Looking, object: GrantedObject): Promise<boolean> =>
  (await store.head(object.key, stop))?.size === object.size

/** Small ones are there when they have their bytes: 64 KiB and less. */
const isWhole = async (looking: Looking, object: GrantedObject): Promise<boolean> => {
  const { store, stop } = looking
  const found = await store.head(object.key, stop)
  if (found?.size !== object.size) return false
  if (found.etag === object.etag) return true
  const bytes = await store.get(object.key, { start: 0, end: object.size }, stop)
  return bytes !== null && createHash('sha256').update(bytes).digest('base64url') === object.sha256
}

type Look = (looking: Looking, object: GrantedObject) => Promise<boolean>

/** Those that two looks do not find. Throws where the store does not answer: that says nothing about them. */
const notThere = async <One extends GrantedObject>(
  looking: Looking,
  objects: readonly One[],
  look: Look,
): Promise<readonly One[]> => {
  const once = async (some: readonly One[]): Promise<readonly One[]> => {
    const seen = await eachOf(some, LOOKS_AT_ONCE, async (one) => look(looking, one))
    return some.filter((_, place) => seen[place] === false)
  }
  const suspects = await once(objects)
  if (suspects.length === 0) return []
  await looking.parts.clock.sleep(BREATH, looking.stop)
  return once(suspects)
}

/** Step by step, so that whatever ends it early has noted what it saw. */
const lookForAll = async (looking: Looking): Promise<number> => {
  const { parts, at } = looking
  let lost = 0
  for (let after = 0; ;) {
    const packs = await parts.spotChecks.packs(at.vault, after, STEP)
    const last = packs.at(-1)
    if (last === undefined) return lost
    const gone = new Set((await notThere(looking, packs, isThere)).map(({ no }) => no))
    const fresh = packs.filter((pack) => !pack.lost && gone.has(pack.no))
    await parts.objects.lost(
      at.vault,
      fresh.map(({ no }) => no),
    )
    const back = packs.filter((pack) => pack.lost && !gone.has(pack.no))
    await parts.spotChecks.found(
      at.vault,
      back.map(({ no }) => no),
    )
    lost += fresh.length
    after = last.no
  }
}

const points = (random: AgentParts['random']): readonly number[] => {
  const bytes = Buffer.from(random(4 * POINTS))
  return Array.from({ length: POINTS }, (_, n) => bytes.readUInt32LE(4 * n) / 2 ** 32)
}

/**
 * Resolves with what was found to be missing, and is noted as such by then: packs are told to the next run as gone, signers
 * and secrets are written again by it, and the backups that need what is lost are verified. Throws where the storage or the
 * database is away.
 */
export const spotCheck = async (
  parts: Pick<AgentParts, 'clock' | 'random' | 'log' | 'spotChecks' | 'objects' | 'stores'>,
  at: Checked,
  stop: AbortSignal,
): Promise<Missing> => {
  const { vault, job } = at
  const sample = await parts.spotChecks.sample(vault, job, points(parts.random))
  const { record, own, packs } = sample
  if (record === null && own.length === 0 && packs.length === 0) return NOTHING
  const store = await parts.stores.open(at.storage)
  const looking = { parts, store, at, stop }
  const records = record === null ? [] : [record.object]
  const lostOwn = (await notThere(looking, own, isWhole)).length > 0
  const lostRecord = (await notThere(looking, records, isWhole)).length > 0
  const lostPacks = (await notThere(looking, packs, isThere)).length > 0
  if (!lostOwn && !lostRecord && !lostPacks) return NOTHING
  // In this order: whatever ends this early, the next run finds the first of them again, and looks at the rest.
  const lost = await lookForAll(looking)
  if (lostRecord && record !== null) await parts.spotChecks.recordLost(record.backup)
  if (lostOwn) await parts.spotChecks.unwritten(vault)
  const missing = { packs: lost, record: lostRecord, own: lostOwn }
  const backups = await parts.spotChecks.verifyAffected(vault)
  parts.log.error({ vault, ...missing, backups }, 'the storage does not have what it had')
  return missing
}

/** What the log of a run says of it, and what to do. */
export const missingLine = ({ packs, record, own }: Missing): string | null => {
  const what = [
    ...(record ? ['the record of the backup before'] : []),
    ...(own ? ['signers or secrets of the vault'] : []),
    ...(packs > 0 ? [`${String(packs)} packs`] : []),
  ]
  if (what.length === 0) return null
  return `The storage does not have ${what.join(', ')} any more: this backup sends again what it needs. Backups that need what is gone are being verified; see whether this is the right bucket, and who may delete in it.`
}

/** Resolves like `work`; null where that takes too long, or the storage does not answer. */
export const inTime = async <T>(
  parts: Pick<AgentParts, 'clock' | 'log'>,
  [most, stop]: readonly [Ms, AbortSignal],
  work: (stop: AbortSignal) => Promise<T>,
): Promise<T | null> => {
  const over = new AbortController()
  const done = new AbortController()
  const both = AbortSignal.any([stop, over.signal])
  const late = parts.clock
    .sleep(most, AbortSignal.any([stop, done.signal]))
    .then(() => over.abort(fail('CANCELED')))
    .catch(() => undefined)
  try {
    return await work(both)
  } catch (error) {
    stop.throwIfAborted()
    parts.log.warn({ problem: problemOf(error) }, 'what a run builds upon could not be looked at')
    return null
  } finally {
    done.abort()
    await late
  }
}
