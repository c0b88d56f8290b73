/**
 * The loops of the control plane's own work: claims what waits, a few at once, and removes what is over. Beside those of
 * the agents, so that nothing here delays a backup.
 */
import { problemOf } from '#shared/errors.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import { type Bell, createBell } from '../flow/bell.ts'
import { LEASE, runTask, type TaskWorld, type Work } from '../flow/tasks/run-task.ts'
import type { Tasks } from '../ports/tasks.ts'

/** What waits is found by itself; one that was asked for here is begun at once. */
const LOOK: Ms = 2 * SECOND

export type Kind<Job, Progress> = {
  readonly name: string
  readonly tasks: Tasks<Job, Progress>
  readonly work: Work<Job, Progress>
  /** So many of them at once, in this process. */
  readonly most: number
}

export type Sweep = {
  readonly name: string
  readonly every: Ms
  /** How much was done; it goes on until there is nothing. */
  sweep(stop: AbortSignal): Promise<number>
}

export type Worker = {
  /** Something may be waiting: look now. */
  wake(): void
  /** Gives back what is being worked on. */
  close(): Promise<void>
}

type Hall = {
  readonly world: TaskWorld
  readonly stop: AbortSignal
  /** One for each loop: a bell is heard by one. */
  readonly bells: Bell[]
}

/** `stop` may fire during any await. */
const isOver = ({ stop }: Hall): boolean => stop.aborted

const claimSome = async <Job, Progress>(
  { world, stop }: Hall,
  { tasks, work, most }: Kind<Job, Progress>,
  [running, freed]: readonly [Set<Promise<void>>, Bell],
): Promise<void> => {
  const room = most - running.size
  if (room < 1) return
  for (const claim of await tasks.claim(room, LEASE)) {
    const one = runTask([tasks, world], claim, [work, stop]).finally(() => {
      running.delete(one)
      freed.ring()
    })
    running.add(one)
  }
}

const workOn = async <Job, Progress>(hall: Hall, kind: Kind<Job, Progress>): Promise<void> => {
  const bell = createBell(hall.world.clock)
  hall.bells.push(bell)
  const running = new Set<Promise<void>>()
  while (!isOver(hall)) {
    try {
      await claimSome(hall, kind, [running, bell])
    } catch (error) {
      if (!isOver(hall)) note(hall, kind.name, error)
    }
    await bell.heard(LOOK, hall.stop)
  }
  await Promise.all(running)
}

const note = ({ world }: Hall, what: string, error: unknown): void =>
  world.log.error({ what, problem: problemOf(error) }, 'a sweep failed')

const sweepOn = async (hall: Hall, task: Sweep): Promise<void> => {
  while (!isOver(hall)) {
    try {
      while (!isOver(hall) && (await task.sweep(hall.stop)) > 0);
    } catch (error) {
      if (!isOver(hall)) note(hall, task.name, error)
    }
    await hall.world.clock.sleep(task.every, hall.stop).catch(() => undefined)
  }
}

/** Kinds differ in what their jobs are: each is bound to its own before they stand in one list. */
export type Loop = (hall: Hall) => Promise<void>

export const loopOf =
  <Job, Progress>(kind: Kind<Job, Progress>): Loop =>
  async (hall) =>
    workOn(hall, kind)

export const startWorker = (
  world: TaskWorld,
  loops: readonly Loop[],
  sweeps: readonly Sweep[],
): Worker => {
  const stop = new AbortController()
  const hall: Hall = { world, stop: stop.signal, bells: [] }
  const running = [
    ...loops.map(async (loop) => loop(hall)),
    ...sweeps.map(async (sweep) => sweepOn(hall, sweep)),
  ]
  return {
    wake: () => hall.bells.forEach((bell) => bell.ring()),
    close: async () => {
      stop.abort(new Error('the control plane stops'))
      await Promise.all(running)
    },
  }
}
