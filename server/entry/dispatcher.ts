/** The loops behind the agents: offers what waits, settles what is over. Woken by the database, and by itself. */
import { problemOf } from '#shared/errors.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { AgentParts } from '../flow/agent-parts.ts'
import { type Bell, createBell } from '../flow/bell.ts'
import { dispatchBackups, dispatchRestores } from '../flow/dispatch-runs.ts'
import { askForProofs } from '../flow/open-requests/prove.ts'
import { settleLeases } from '../flow/settle-leases.ts'

const SWEEP: Ms = 3 * SECOND
const SETTLE: Ms = 5 * SECOND

export type Dispatcher = {
  /** Something may be waiting: look now. */
  wake(): void
  /** Ends the loops; what they are at is finished first. */
  close(): Promise<void>
}

const repeat = async (
  parts: AgentParts,
  [what, pause]: readonly [string, () => Promise<unknown>],
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
  const bells = [createBell(parts.clock), createBell(parts.clock)] as const
  const ring = (): void => bells.forEach((bell) => bell.ring())
  const listening = await parts.wakeups.listen({
    work: (server) => {
      if (parts.links.get(server) !== null) ring()
    },
    superseded: (server, joins) => {
      const link = parts.links.get(server)
      if (link !== null && link.joins < joins)
        link.close('superseded', 'a newer connection of this server took over')
    },
  })
  const sweep = async (bell: Bell, what: string, work: () => Promise<number>): Promise<void> =>
    repeat(
      parts,
      [what, async () => bell.heard(SWEEP, stop.signal)],
      [
        async () => {
          while (!stop.signal.aborted && (await work()) > 0);
        },
        stop.signal,
      ],
    )
  const dispatching = [
    sweep(bells[0], 'dispatch backups', async () => dispatchBackups(parts, stop.signal)),
    // Beside them, as it reads from storages.
    sweep(bells[1], 'dispatch restores', async () => {
      await askForProofs(parts)
      return dispatchRestores(parts, stop.signal)
    }),
  ]
  const settling = repeat(
    parts,
    ['settle', async () => parts.clock.sleep(SETTLE, stop.signal).catch(() => undefined)],
    [async () => settleLeases(parts, stop.signal), stop.signal],
  )
  return {
    wake: ring,
    close: async () => {
      stop.abort(new Error('the control plane stops'))
      ring()
      await Promise.all([...dispatching, settling])
      await listening[Symbol.asyncDispose]()
    },
  }
}
