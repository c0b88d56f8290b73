/** The agent's link on a control plane in memory; its clock runs fifty times as fast. */
import { createLink, type Link, type Worker } from '#agent/entry/link.ts'
import { PATIENCE, type Patience } from '#agent/core/patience.ts'
import { eventLoopTurn, systemClock, systemRandom } from '#agent/io/world.ts'
import type { World } from '#agent/ports.ts'
import { anId } from './agent-control-plane.ts'
import type { FakePlane } from './agent-fake-plane.ts'
import { FACTS } from './facts.ts'

export const QUICK: World = {
  clock: {
    ...systemClock,
    sleep: async (span, stop) => systemClock.sleep(span / 50, stop),
  },
  random: systemRandom,
  log: {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
  },
  turn: eventLoopTurn,
}

export type Linked = {
  readonly link: Link
  readonly ended: Promise<void>
  readonly stop: () => void
}

/** The same, with spans that are measured fifty times as long. */
export const HASTY: World = {
  ...QUICK,
  clock: { ...QUICK.clock, monotonic: () => 50 * systemClock.monotonic() },
}

export type LinkedOptions = { readonly patience?: Patience; readonly world?: World }

export const linked = (
  plane: FakePlane,
  worker: Worker,
  { patience = PATIENCE, world = QUICK }: LinkedOptions = {},
): Linked => {
  let joins = 0
  const link = createLink({
    dial: plane.dial,
    url: 'ws://here',
    world,
    patience,
    introduce: ({ protocol }) => ({
      type: 'connect',
      id: anId(),
      protocol,
      server: anId(),
      joins: (joins += 1),
      facts: FACTS,
      signature: Buffer.alloc(64).toString('base64url'),
    }),
    welcome: () => undefined,
  })
  const stop = new AbortController()
  const ended = link.run(worker, stop.signal)
  ended.catch(() => undefined)
  return { link, ended, stop: () => stop.abort() }
}

export type OneRun = Worker & { epoch: number; lost: string[] }

/** A worker with one run, whose epoch follows the leases. */
export const workerOn = (run: string): OneRun => {
  const worker = {
    epoch: 1,
    lost: [] as string[],
    order: () => undefined,
    runs: () => [{ run, epoch: worker.epoch }],
    leases: (given: Parameters<Worker['leases']>[0]) => {
      for (const { epoch } of given.renewed) worker.epoch = epoch
      worker.lost.push(...given.lost)
    },
  }
  return worker
}
