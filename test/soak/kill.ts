/** Agent, control plane or database killed in the middle of a backup, or of everything at once: what was promised of each holds. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fail } from '#shared/errors.ts'
import { MINUTE } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'
import { hasEnded } from '../support/instance.ts'
import { runAcross, startAcross } from './across-case.ts'
import { checkCollected } from './across-invariants.ts'
import { openAcross } from './across-scene.ts'
import type { CaseResult, Chosen, SoakCheck, SoakRound } from './check.ts'
import { openScene, restoreProblems, runCase } from './kill-case.ts'
import { type MakeSource, makeRecurring, makeSource } from './kill-source.ts'
import {
  type Flavour,
  FLAVOURS,
  type KillWorld,
  startWorld,
  type Victim,
  VICTIMS,
} from './kill-world.ts'

/** One world for so many: a start takes as long as some of them. */
const CASES = 9
/** Every third world is of `up`. */
const UP_EACH = 3

const oneOf = <T extends string>(all: readonly T[], field: string, text = ''): T => {
  const one = all.find((name) => name === text)
  if (one === undefined)
    throw fail('VALIDATION_FAILED', { field, problem: `must be one of ${all.join(', ')}` })
  return one
}

const victimsOf = ({ victim }: Chosen): readonly Victim[] =>
  victim === 'all'
    ? VICTIMS
    : (victim ?? '').split(',').map((name) => oneOf(VICTIMS, 'victim', name))

const flavourOf = ({ start }: Chosen, index: number): Flavour => {
  if (start === 'both') return index % UP_EACH === 1 ? 'up' : 'serve'
  return oneOf(FLAVOURS, 'start', start)
}

type Given = { readonly index: number; readonly chance: Seeded; readonly chosen: Chosen }

type Play = {
  run(killed: { readonly victim: Victim; readonly turn: number }, dice: Seeded): Promise<CaseResult>
  /** What is looked at once, after the last case. */
  end(): Promise<readonly string[]>
}

const playBackup = async (world: KillWorld, folder: string): Promise<Play> => {
  const scene = openScene(world, folder)
  return Promise.resolve({
    run: async (killed, dice) => runCase(scene, killed, dice),
    end: async () => {
      const found: string[] = []
      for (const one of scene.committed) found.push(...(await restoreProblems(scene, one)))
      return found
    },
  })
}

/** With the last words of the control plane, where a case could not be brought to its end. */
const told = async <T>({ instance }: KillWorld, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    const state = hasEnded(instance.controlPlane) ? 'has ended' : 'runs'
    throw new Error(`the control plane ${state}: ${instance.said().slice(-3000)}`, { cause: error })
  }
}

const playAll = async (world: KillWorld, folder: string): Promise<Play> => {
  const scene = await openAcross(world, folder)
  await startAcross(scene)
  return {
    run: async (killed, dice) => told(world, async () => runAcross(scene, killed, dice)),
    end: async () => checkCollected(scene),
  }
}

const ACROSS = {
  backup: [makeSource, playBackup],
  all: [makeRecurring, playAll],
} as const satisfies Readonly<
  Record<string, readonly [MakeSource, (world: KillWorld, folder: string) => Promise<Play>]>
>

const acrossOf = ({ across }: Chosen) => ACROSS[oneOf(['backup', 'all'] as const, 'across', across)]

type Worlds = { current(): Promise<Play>; giveUp(): Promise<void> }

/** Worlds one after the other: one in which a case did not come to its end is of no use to the next. */
const worlds = ({ chance, chosen }: Given, flavour: Flavour, folder: string): Worlds => {
  const [make, play] = acrossOf(chosen)
  let held: { readonly world: KillWorld; readonly play: Play } | null = null
  let count = 0
  return {
    current: async () => {
      if (held !== null) return held.play
      const place = join(folder, `world-${count}`)
      count += 1
      mkdirSync(place)
      const world = await startWorld(flavour, place, [chance.fork(`world-${count - 1}`), make])
      held = { world, play: await play(world, place) }
      return held.play
    },
    giveUp: async () => {
      const left = held
      held = null
      await left?.world.close()
    },
  }
}

/** Which victim, and which of the phases in turn: other ones for each victim and flavour. */
const turnOf = (
  chosen: Chosen,
  [flavour, number]: readonly [Flavour, number],
): { readonly victim: Victim; readonly turn: number } => {
  const victims = victimsOf(chosen)
  const at = number % victims.length
  return {
    victim: victims[at] ?? 'agent',
    turn: Math.floor(number / victims.length) + 2 * at + FLAVOURS.indexOf(flavour),
  }
}

const makeRound = (given: Given, folder: string): SoakRound => {
  const { index, chosen } = given
  const flavour = flavourOf(chosen, index)
  const all = worlds(given, flavour, folder)
  let running = false
  return {
    cases: CASES,
    run: async (i, dice) => {
      if (running) await all.giveUp()
      running = true
      const result = await (
        await all.current()
      ).run(turnOf(chosen, [flavour, index * CASES + i]), dice)
      running = false
      return result
    },
    end: async () => (running ? [] : (await all.current()).end()),
    close: async () => all.giveUp(),
  }
}

export const check: SoakCheck = {
  about:
    'Kills agent, control plane or database in the middle of backups, or of everything at once.',
  deadline: 3 * MINUTE,
  options: { rounds: '20', victim: 'all', start: 'both', across: 'backup' },
  casesARound: CASES,
  count: (chosen) => {
    flavourOf(chosen, 0)
    acrossOf(chosen)
    return Number(chosen['rounds']) * victimsOf(chosen).length
  },
  round: async (index, chance, folder, chosen) =>
    Promise.resolve(makeRound({ index, chance, chosen }, folder)),
}
