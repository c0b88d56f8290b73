/** The embedded PostgreSQL for as long as the control plane runs: when it dies by itself, it is started again. */
import { problemOf } from '#shared/errors.ts'
import { MINUTE, type Ms, SECOND } from '#shared/units.ts'
import { unavailable } from '../../db/errors.ts'
import type { DatabaseAddress } from '../../db/open.ts'
import { type Postgres, type PostgresSettings, startPostgres } from './start.ts'

export type KeptPostgres = {
  readonly connect: DatabaseAddress
  /** Stops it, as `close` of the server does, or the starting that is under way. */
  close(): Promise<void>
  /** Resolves when it is not started again any more; the text says why. */
  readonly broken: Promise<string>
}

/** A server that dies more often than this within the span has something that no start mends. */
const MOST_DEATHS = 5
const SPAN = 10 * MINUTE
/** Before a start that follows a failed one; doubled each time. */
const PAUSE = SECOND

type Kept = {
  readonly settings: PostgresSettings
  readonly closing: AbortController
  /** Null: it died and is not back. */
  current: Postgres | null
  /** Why it is not. */
  problem: string
}

/** Waits until the server is gone; why it is. */
const lifeOf = async ({ current, problem, closing }: Kept): Promise<string> =>
  current === null || closing.signal.aborted ? problem : current.ended

const sameAddress = (a: DatabaseAddress, b: DatabaseAddress): boolean =>
  JSON.stringify(a) === JSON.stringify(b)

/** One try. Its clients know one address, so a server elsewhere is none to them. */
const startAgain = async (kept: Kept, connect: DatabaseAddress): Promise<void> => {
  const dead = kept.current
  kept.current = null
  await dead?.close()
  const fresh = await startPostgres(kept.settings, kept.closing.signal)
  if (!sameAddress(fresh.connect, connect)) {
    await fresh.close()
    throw unavailable('its socket moved')
  }
  kept.current = fresh
}

/** Until it is closed, or not worth another try; then says why. */
const attend = async (kept: Kept, connect: DatabaseAddress): Promise<string> => {
  const { clock, log } = kept.settings
  const stop = kept.closing.signal
  const deaths: Ms[] = []
  let failures = 0
  for (;;) {
    // A start that failed counts as a death of its own.
    const why = await lifeOf(kept)
    if (stop.aborted) return why
    const now = clock.monotonic()
    deaths.push(now)
    const again = deaths.filter((at) => now - at < SPAN).length <= MOST_DEATHS
    log.error({ problem: why, again }, 'the embedded PostgreSQL died')
    if (!again) return why
    try {
      if (failures > 0) await clock.sleep(PAUSE * 2 ** (failures - 1), stop)
      await startAgain(kept, connect)
      failures = 0
      log.warn({}, 'the embedded PostgreSQL was started again')
    } catch (error) {
      failures += 1
      kept.problem = problemOf(error)
    }
  }
}

/** Throws what `startPostgres` throws, when the first start fails. */
export const keepPostgres = async (
  settings: PostgresSettings,
  stop: AbortSignal,
): Promise<KeptPostgres> => {
  const first = await startPostgres(settings, stop)
  const { connect } = first
  const kept: Kept = { settings, closing: new AbortController(), current: first, problem: '' }
  const attended = attend(kept, connect)
  const { promise: broken, resolve } = Promise.withResolvers<string>()
  void attended.then((why) => {
    if (!kept.closing.signal.aborted) resolve(why)
  })
  return {
    connect,
    broken,
    close: async () => {
      kept.closing.abort(unavailable('it was closed'))
      await kept.current?.close()
      await attended
      await kept.current?.close()
    },
  }
}
