/**
 * Whatever happens to an object is found by the verifications that read everything, with exactly the files concerned. Each byte of
 * every header, and `open` beside them: `npm run soak -- flips`.
 */
import { describe, expect, test } from 'vitest'
import { type Damage } from '../../soak/flip-damage.ts'
import { makeWorld, TINY, type World } from '../../soak/flip-world.ts'
import { damagesOf, isDamage, type Kind, kindOf, KINDS } from '../../soak/flips-damage.ts'
import { judgeOf, neededBy } from '../../support/flip-verify.ts'
import { type Bucket, memoryVerify } from '../../support/memory-verify.ts'
import { seeded } from '../../support/seeded.ts'

/** A byte in so many of every header. */
const STRIDE = 37
const SAMPLES = 4

const chance = seeded('verify damage')
const world: World = makeWorld(chance, { folders: 1, others: 5, backups: 2 })
const other = makeWorld(chance.fork('other'), TINY)
const newest = world.backups[1]!
const judge = judgeOf(world, [newest])

const after = ({ changes }: Damage): Bucket => {
  const now = new Map(world.writer.objects)
  for (const [key, bytes] of changes)
    if (bytes === null) now.delete(key)
    else now.set(key, bytes)
  return now
}

const damagesTo = (kind: Kind): readonly Damage[] => {
  const vault = world.writer.objects
  const key = [...neededBy(world.writer, newest)].find((one) => kindOf(one) === kind)!
  const victims = { chance, vault, other: other.writer.objects, samples: SAMPLES }
  const headers = damagesOf(victims, key, 'header').filter((_, at) => at % STRIDE === 0)
  const rest = (['elsewhere', 'length', 'others'] as const).flatMap((family) =>
    damagesOf(victims, key, family),
  )
  return [...headers, ...rest].filter((damage) => isDamage(damage, vault))
}

test('a vault that is whole is not called damaged', async () => {
  expect(await judge(world.writer.objects)).toEqual([])
})

describe.each(KINDS)('a damaged %s', (kind) => {
  test('is found by "full", and by "restore" with exactly the files concerned', async () => {
    const damages = damagesTo(kind)
    expect(damages.length).toBeGreaterThan(30)
    for (const damage of damages)
      expect([damage.kind, await judge(after(damage))]).toEqual([damage.kind, []])
  })
})

test('the storage is asked again before anything is called damaged', async () => {
  const verify = memoryVerify(world.writer, [newest, 2])
  const [key, bytes] = [...world.writer.objects].find(([one]) => kindOf(one) === 'pack')!
  let asked = 0
  const flaky = new Map(world.writer.objects)
  flaky.get = (name) => {
    if (name !== key) return world.writer.objects.get(name)
    asked += 1
    return asked === 1 ? bytes.subarray(0, 5) : bytes
  }
  expect((await verify('full', flaky)).status).toBe('passed')
  expect(asked).toBeGreaterThan(1)
})
