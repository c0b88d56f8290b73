/**
 * Whether this replica can work: its database answers, and a storage that is in use does. Anybody may ask, as often as they
 * like: there is one look at a time, whoever asks meanwhile gets its answer, and that of the storages is kept for a while.
 */
import type { Readiness } from '#shared/api/health.ts'
import { type Failure, fail, problemOf } from '#shared/errors.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock, Log } from '#shared/world.ts'
import type { Stores } from '../ports.ts'
import type { UsedStorage, UsedStorages } from '../ports/readiness.ts'

export type ReadinessParts = {
  readonly usedStorages: UsedStorages
  readonly stores: Stores
  readonly clock: Clock
  readonly log: Log
  /** Throws `DATABASE_UNAVAILABLE`. */
  checkDatabase(): Promise<void>
}

type Checks = Readiness['checks']
export type Check = { check(): Promise<Checks> }

/** Looked at together: one organization's broken bucket is no reason to send everybody away. */
const STORAGES = 3
const DEADLINE: Ms = 2 * SECOND
const KEPT: Ms = 5 * SECOND

/** Without the words of a storage, or its name: the answer is for everybody. */
const silent = (problem: string): Failure =>
  fail('STORAGE_UNAVAILABLE', { storage: 'in use', verb: 'head', problem })

const look = async (
  { stores }: ReadinessParts,
  { storage, key }: UsedStorage,
  stop: AbortSignal,
): Promise<void> => {
  const store = await stores.open(storage)
  if ((await store.head(key, stop)) === null) throw fail('MISSING_OBJECT', { key })
}

const NO_ANSWER = 'it gave no answer in time'
const LATE = {
  database: () => fail('DATABASE_UNAVAILABLE', { problem: NO_ANSWER }),
  storage: () => silent(NO_ANSWER),
} as const
type Late = keyof typeof LATE

/** Does not wait longer than the deadline for anything, whether it can be stopped or not. */
const timed = async (
  { clock }: ReadinessParts,
  [what, work]: readonly [Late, (stop: AbortSignal) => Promise<void>],
): Promise<void> => {
  const late = LATE[what]()
  const over = new AbortController()
  const end = async (): Promise<void> => {
    await clock.sleep(DEADLINE, over.signal)
    throw late
  }
  try {
    await Promise.race([work(over.signal), end()])
  } finally {
    over.abort(late)
  }
}

const checkStorages = async (
  parts: ReadinessParts,
  used: readonly UsedStorage[],
): Promise<Checks['storage']> => {
  if (used.length === 0) return 'unused'
  const looks = used.map(async (one) => {
    try {
      await timed(parts, ['storage', async (stop) => look(parts, one, stop)])
    } catch (error) {
      parts.log.warn({ storage: one.storage, problem: problemOf(error) }, 'a storage is not ready')
      throw error
    }
  })
  try {
    await Promise.any(looks)
    return 'ok'
  } catch {
    throw silent('it does not answer, or not as it should')
  }
}

/** One at a time; what it gives or throws is kept until `kept` after its end. */
const shared = <T>(clock: Clock, kept: Ms, work: () => Promise<T>): (() => Promise<T>) => {
  let latest: { readonly answer: Promise<T>; until: Ms } | null = null
  return async () => {
    if (latest !== null && clock.monotonic() < latest.until) return latest.answer
    const now = { answer: work(), until: Infinity }
    latest = now
    const end = (): void => {
      now.until = clock.monotonic() + kept
    }
    now.answer.then(end, end)
    return now.answer
  }
}

export const createReadiness = (parts: ReadinessParts): Check => {
  const database = shared(parts.clock, 0, async () =>
    timed(parts, ['database', async () => parts.checkDatabase()]),
  )
  const storage = shared(parts.clock, KEPT, async () =>
    checkStorages(parts, await parts.usedStorages.latest(STORAGES)),
  )
  return {
    check: async () => {
      await database()
      return { database: 'ok', storage: await storage() }
    },
  }
}
