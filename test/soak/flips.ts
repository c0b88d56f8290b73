/**
 * Every byte of every header, and whatever else may happen to an object, one thing after the other: found by the verifications
 * `full` and `restore` and by `open`, with exactly the files concerned. `vault.json` is left out: nobody trusts it.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { HOUR } from '#shared/units.ts'
import { type Judge, judgeOf, neededBy } from '../support/flip-verify.ts'
import type { Seeded } from '../support/seeded.ts'
import type { CaseResult, Chosen, SoakCheck } from './check.ts'
import { runCase } from './flip.ts'
import type { Damage } from './flip-damage.ts'
import { makeWorld, type Size, TINY, type World } from './flip-world.ts'
import { damagesOf, FAMILIES, isDamage, type Kind, kindOf, KINDS } from './flips-damage.ts'

const SIZE: Size = { folders: 3, others: 14, backups: 2 }

const COUNTS = ['objects', 'positions', 'detected', 'missed'] as const

type Scene = {
  readonly world: World
  readonly other: World
  readonly folder: string
  readonly judge: Judge
  readonly victims: readonly string[]
  readonly samples: number
  /** Of all cases so far. */
  readonly total: { objects: number; positions: number; detected: number; missed: number }
}

/** The first and the last of each kind that the newest backup needs, and as many between them as there are to be. */
const victimsOf = ({ writer, backups }: World, count: number): readonly string[] => {
  const newest = backups.at(-1)
  if (newest === undefined) return []
  const needed = [...neededBy(writer, newest)]
  return KINDS.flatMap((kind) => {
    const all = needed.filter((key) => kindOf(key) === kind).sort()
    const step = Math.max(1, (all.length - 1) / Math.max(1, count - 1))
    return [...new Set(Array.from({ length: count }, (_, i) => all[Math.round(i * step)]))].filter(
      (key) => key !== undefined,
    )
  })
}

const bucketAfter = ({ writer }: World, { changes }: Damage): ReadonlyMap<string, Uint8Array> => {
  const now = new Map(writer.objects)
  for (const [key, bytes] of changes)
    if (bytes === null) now.delete(key)
    else now.set(key, bytes)
  return now
}

/** What was not found, or found where it is not. */
const missedOf = async (scene: Scene, damage: Damage): Promise<readonly string[]> => {
  const { world, folder, judge } = scene
  return [
    ...(await judge(bucketAfter(world, damage))),
    ...(await runCase({ world, folder }, damage)).violations,
  ]
}

const runKind = async (scene: Scene, kind: Kind, chance: Seeded): Promise<CaseResult> => {
  const { world, other, samples, total } = scene
  const vault = world.writer.objects
  const violations: string[] = []
  const keys = scene.victims.filter((key) => kindOf(key) === kind)
  let [positions, missed] = [0, 0]
  for (const key of keys)
    for (const family of FAMILIES)
      for (const damage of damagesOf(
        { chance, vault, other: other.writer.objects, samples },
        key,
        family,
      )) {
        if (!isDamage(damage, vault)) continue
        positions += 1
        const found = await missedOf(scene, damage)
        if (found.length > 0) missed += 1
        violations.push(...found.map((text) => `${damage.kind}: ${text}`))
      }
  const counts = { objects: keys.length, positions, detected: positions - missed, missed }
  for (const name of COUNTS) total[name] += counts[name]
  return { kind, violations, facts: counts }
}

/** A vault that is whole is not called damaged. */
const closing = async (scene: Scene): Promise<CaseResult> => ({
  kind: 'all',
  violations: await missedOf(scene, { kind: 'nothing', changes: new Map() }),
  facts: { ...scene.total },
})

const openScene = (chance: Seeded, folder: string, chosen: Chosen): Scene => {
  const world = makeWorld(chance, SIZE)
  world.writer.writeTo(join(folder, 'bucket'))
  writeFileSync(join(folder, 'identity'), `${world.writer.identity.text}\n`)
  return {
    world,
    other: makeWorld(chance.fork('other'), TINY),
    folder,
    judge: judgeOf(world),
    victims: victimsOf(world, Number(chosen['objects'])),
    samples: Number(chosen['samples']),
    total: { objects: 0, positions: 0, detected: 0, missed: 0 },
  }
}

export const check: SoakCheck = {
  about:
    'Damages every byte of every header, and objects in every other way, one thing after the other.',
  deadline: HOUR,
  options: { objects: '2', samples: '200' },
  // One for each kind of object, and the closing count.
  count: () => KINDS.length + 1,
  round: async (_, chance, folder, chosen) => {
    const scene = openScene(chance, folder, chosen)
    return Promise.resolve({
      cases: KINDS.length + 1,
      run: async (i, dice) => {
        const kind = KINDS[i]
        return kind === undefined ? closing(scene) : runKind(scene, kind, dice)
      },
      close: async () => Promise.resolve(),
    })
  },
}
