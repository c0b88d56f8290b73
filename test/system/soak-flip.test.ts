import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { drive } from '../soak/drive.ts'
import { check, runCase } from '../soak/flip.ts'
import { sweepDamage } from '../soak/flip-damage.ts'
import { makeWorld, TINY } from '../soak/flip-world.ts'
import { seeded } from '../support/seeded.ts'

describe('flip', () => {
  test('whatever happens to an object, exactly the files concerned are named and the others restored', async () => {
    const result = await drive(check, { name: 'flip', seed: 'slice', more: (cases) => cases < 20 })
    expect(result.failures).toEqual([])
    expect(result.cases).toBe(20)
  })

  test('every byte of the small objects matters: signers, secrets, and the headers of all others', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-flip-'))
    try {
      const world = makeWorld(seeded('headers'), TINY)
      world.writer.writeTo(join(folder, 'bucket'))
      writeFileSync(join(folder, 'identity'), `${world.writer.identity.text}\n`)
      const chance = seeded('which bytes')
      // Each third step, so that a byte of every header in three: the soak run takes all of them in time.
      for (let step = 0; step < 2250; step += 3) {
        const damage = sweepDamage(chance, world.writer.objects, step)
        const { violations } = await runCase({ world, folder }, damage)
        expect({ step, violations }).toEqual({ step, violations: [] })
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
