/** The loops behind the agents: offers what waits, settles what is over. Woken by the database, and by itself. */
import { problemOf } from '#shared/errors.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { AgentParts } from '../flow/agent-parts.ts'
import { dispatchRuns } from '../flow/dispatch-runs.ts'
import { settleLeases } from '../flow/settle-leases.ts'

const SWEEP: Ms = 3 * SECOND
const SETTLE: Ms = 5 * SECOND

export type Dispatcher = {
  /** Something may be waiting: look now. */
  wake(): void
  /** Ends the loops; what they are at is finished first. */
  close(): Promise<void>
}

type Bell = { ring(): void; heard(span: Ms, stop: AbortSignal): Promise<void> }

const createBell = (parts: AgentParts): Bell => {
  let rung = Promise.withResolvers<undefined>()
  return {
    ring: () => rung.resolve(undefined),
    heard: async (span, stop) => {
      const nap = new AbortController()
      const end = AbortSignal.any([stop, nap.signal])
      await Promise.race([rung.promise, parts.clock.sleep(span, end).catch(() => undefined)])
      nap.abort()
      rung = Promise.withResolvers<undefined>()
    },
  }
}

const repeat = async (
  parts: AgentParts,
  [what, pause]: readonly [string, () => Promise<void>],
  [work, stop]: readonly [() => Promise<void>, AbortSignal],
): Promise<void> => {
  const isOver = (): boolean => stop.aborted
  while (!isOver()) {
    try {
      await work()
    } catch (error) {
      if (!isOver()) parts.log.error({ what, problem: problemOf(error) }, 'a sweep failed')
    }
    await pause()
  }
}

/** The first sweep begins at once. A lost LISTEN connection is made again by the driver; meanwhile sweeps find the work. */
export const startDispatcher = async (parts: AgentParts): Promise<Dispatcher> => {
  const stop = new AbortController()
  const bell = createBell(parts)
  const listening = await parts.wakeups.listen({
    work: (server) => {
      if (parts.links.get(server) !== null) bell.ring()
    },
    superseded: (server, joins) => {
      const link = parts.links.get(server)
      if (link !== null && link.joins < joins)
        link.close('superseded', 'a newer connection of this server took over')
    },
  })
  const dispatching = repeat(
    parts,
    ['dispatch', async () => bell.heard(SWEEP, stop.signal)],
    [
      async () => {
        while (!stop.signal.aborted && (await dispatchRuns(parts)) > 0);
      },
      stop.signal,
    ],
  )
  const settling = repeat(
    parts,
    ['settle', async () => parts.clock.sleep(SETTLE, stop.signal).catch(() => undefined)],
    [async () => settleLeases(parts, stop.signal), stop.signal],
  )
  return {
    wake: () => bell.ring(),
    close: async () => {
      stop.abort(new Error('the control plane stops'))
      bell.ring()
      await Promise.all([dispatching, settling])
      await listening[Symbol.asyncDispose]()
    },
  }
}
