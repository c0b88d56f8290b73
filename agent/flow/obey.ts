/** Orders → runs: which are taken, which wait, which are refused; and how each ends. */
import { fail, Failure, problemOf } from '#shared/errors.ts'
import type { BackupStart, Orders } from '#shared/protocol/orders.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import type { Log } from '#shared/world.ts'
import { createWork, type Signals, type Work } from '../core/work.ts'
import { type BackupParts, backups, type RestoreParts, restores, type Kind } from './obey-kinds.ts'

export type ObeyParts = BackupParts &
  RestoreParts & {
    readonly log: Log
    /** Resolves when everything told so far has been sent. */
    readonly drained: () => Promise<void>
    readonly keep: Keep
    /** Signs what a key holder must see (PROTOCOL.md, `open.prove`). */
    readonly prove: (order: Orders['open.prove']) => void
  }

/** What the answer to a heartbeat says of this machine, and not of a run. */
export type Keep = (said: Pick<Orders['leases'], 'limits' | 'priority'>) => void

/** What the link hands over. */
export type RunOrder = Orders[
  | 'backup.start'
  | 'backup.cancel'
  | 'backup.pause'
  | 'backup.resume'
  | 'restore.start'
  | 'restore.cancel'
  | 'open.prove']

export type Obey = {
  order(order: RunOrder): void
  runs(): readonly { readonly run: string; readonly epoch: number }[]
  epochOf(run: string): number
  leases(leases: Orders['leases']): void
  /** Ends all runs and waits until each has said so. */
  stop(): Promise<void>
}

type Shared = {
  readonly log: Log
  readonly drained: () => Promise<void>
  readonly work: Work
  readonly leaving: Set<Promise<void>>
  stopping: boolean
}

/** Runs of one kind go one at a time: two would share the memory and the disks that each is measured by. */
type Lane<S> = { readonly kind: Kind<S>; last: Promise<void> }

type Start = BackupStart | RestoreStart

/** A run is listed in heartbeats until its last word is out (PROTOCOL.md, "Runs, epochs, leases"). */
const release = ({ work, leaving, drained }: Shared, run: string): void => {
  const left = drained().then(() => {
    work.remove(run)
    leaving.delete(left)
  })
  leaving.add(left)
}

/**
 * The last word of a run that did not come to its end. Who does not answer to it has his reasons. A paused run outlives the
 * agent: it is offered anew when it is resumed (PROTOCOL.md, `backup.pause`).
 */
const giveUp = async <S extends Start>(
  { log }: Shared,
  kind: Kind<S>,
  [order, error, { gone, brake }]: readonly [S, unknown, Signals],
): Promise<void> => {
  const code = error instanceof Failure ? error.code : 'INTERNAL_AGENT'
  const isKept = code === 'AGENT_STOPPED' && brake.on.aborted
  log.error({ run: order.run, code, problem: problemOf(error) }, `the ${kind.word} was given up`)
  if (code === 'LEASE_LOST' || isKept) return
  try {
    await kind.ended(order, error, gone)
  } catch (unheard) {
    log.warn(
      { run: order.run, problem: problemOf(unheard) },
      `the end of the ${kind.word} is not noted`,
    )
  }
}

/** Waits, but not longer than it is wanted. */
const unless = async (stop: AbortSignal, waited: Promise<void>): Promise<void> => {
  stop.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const end = (): void => reject(stop.reason)
  stop.addEventListener('abort', end, { once: true })
  try {
    await Promise.race([waited, promise])
  } finally {
    stop.removeEventListener('abort', end)
  }
}

const perform = async <S extends Start>(
  shared: Shared,
  { kind, last }: Lane<S>,
  [order, signals]: readonly [S, Signals],
): Promise<void> => {
  const { stop } = signals
  try {
    await kind.run(order, { ...signals, turn: async () => await unless(stop, last) })
    shared.log.info({ run: order.run }, `the ${kind.word} is done`)
  } catch (error) {
    await giveUp(shared, kind, [order, stop.aborted ? stop.reason : error, signals])
  } finally {
    release(shared, order.run)
  }
}

const begin = <S extends Start>(shared: Shared, lane: Lane<S>, order: S): void => {
  const { work, log } = shared
  const { kind } = lane
  const decision = work.decide(order.run, () =>
    shared.stopping ? fail('AGENT_STOPPED') : kind.objection(order),
  )
  const signals = work.add(order.run, order.epoch)
  if (decision.do === 'refuse') {
    log.error({ run: order.run, problem: decision.problem.message }, `the ${kind.word} is refused`)
    kind.refuse(order, decision.problem)
    release(shared, order.run)
    return
  }
  kind.accept(order)
  if (decision.do === 'again') return
  const ended = perform(shared, lane, [order, signals])
  lane.last = Promise.all([lane.last, ended]).then(() => undefined)
}

export const createObey = (parts: ObeyParts): Obey => {
  const work = createWork()
  const { log, drained } = parts
  const shared: Shared = { log, drained, work, leaving: new Set(), stopping: false }
  const backing = { kind: backups(parts), last: Promise.resolve() }
  const restoring = { kind: restores(parts), last: Promise.resolve() }
  return {
    order: (order) => {
      switch (order.type) {
        case 'backup.start':
          begin(shared, backing, order)
          break
        case 'restore.start':
          begin(shared, restoring, order)
          break
        case 'backup.cancel':
        case 'restore.cancel':
          work.stop(order.run, fail('CANCELED'))
          break
        case 'backup.pause':
        case 'backup.resume':
          work.hold(order.run, order.type === 'backup.pause')
          break
        case 'open.prove':
          parts.prove(order)
          break
      }
    },
    runs: work.runs,
    epochOf: work.epochOf,
    leases: ({ renewed, lost, limits, priority }) => {
      for (const { run, epoch, paused } of renewed) {
        work.renew(run, epoch)
        work.hold(run, paused ?? false)
      }
      for (const run of lost) work.lose(run, fail('LEASE_LOST', { run }))
      parts.keep({
        ...(limits === undefined ? {} : { limits }),
        ...(priority === undefined ? {} : { priority }),
      })
    },
    stop: async () => {
      shared.stopping = true
      for (const { run } of work.runs()) work.stop(run, fail('AGENT_STOPPED'))
      await Promise.all([backing.last, restoring.last])
      await Promise.all(shared.leaving)
    },
  }
}
