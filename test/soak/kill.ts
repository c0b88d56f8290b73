/** Agent, control plane or database killed in the middle of a backup: what was promised of each holds. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fail } from '#shared/errors.ts'
import { MINUTE } from '#shared/units.ts'
import type { Seeded } from '../support/seeded.ts'
import type { Chosen, SoakCheck, SoakRound } from './check.ts'
import { openScene, restoreProblems, runCase, type Scene } from './kill-case.ts'
import { type Flavour, FLAVOURS, startWorld, type Victim, VICTIMS } from './kill-world.ts'

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
  victim === 'all' ? VICTIMS : [oneOf(VICTIMS, 'victim', victim)]

const flavourOf = ({ start }: Chosen, index: number): Flavour => {
  if (start === 'both') return index % UP_EACH === 1 ? 'up' : 'serve'
  return oneOf(FLAVOURS, 'start', start)
}

/** Worlds one after the other: one in which a case did not come to its end is of no use to the next. */
const scenes = (
  flavour: Flavour,
  folder: string,
  chance: Seeded,
): {
  current(): Promise<Scene>
  giveUp(): Promise<void>
} => {
  let scene: Scene | null = null
  let count = 0
  return {
    current: async () => {
      if (scene !== null) return scene
      const name = `world-${count}`
      count += 1
      mkdirSync(join(folder, name))
      const world = await startWorld(flavour, join(folder, name), chance.fork(name))
      scene = openScene(world, join(folder, name))
      return scene
    },
    giveUp: async () => {
      const left = scene
      scene = null
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

type Given = { readonly index: number; readonly chance: Seeded; readonly chosen: Chosen }

const makeRound = ({ index, chance, chosen }: Given, folder: string): SoakRound => {
  const flavour = flavourOf(chosen, index)
  const all = scenes(flavour, folder, chance)
  let running = false
  return {
    cases: CASES,
    run: async (i, dice) => {
      if (running) await all.giveUp()
      running = true
      const turn = turnOf(chosen, [flavour, index * CASES + i])
      const result = await runCase(await all.current(), turn, dice)
      running = false
      return result
    },
    end: async () => {
      if (running) return []
      const scene = await all.current()
      const found: string[] = []
      for (const one of scene.committed) found.push(...(await restoreProblems(scene, one)))
      return found
    },
    close: async () => all.giveUp(),
  }
}

export const check: SoakCheck = {
  about: 'Kills agent, control plane or database in the middle of backups.',
  deadline: 3 * MINUTE,
  options: { rounds: '20', victim: 'all', start: 'both' },
  casesARound: CASES,
  count: (chosen) => {
    flavourOf(chosen, 0)
    return Number(chosen['rounds']) * victimsOf(chosen).length
  },
  round: async (index, chance, folder, chosen) =>
    Promise.resolve(makeRound({ index, chance, chosen }, folder)),
}
