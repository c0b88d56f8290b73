import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { drive } from '../soak/drive.ts'
import { check, runCase } from '../soak/flip.ts'
import { segmentDamages } from '../soak/flip-damage.ts'
import { makeWorld, type Size, TINY, USUAL, type World } from '../soak/flip-world.ts'
import { damagesOf, kindOf, KINDS } from '../soak/flips-damage.ts'
import { seeded } from '../support/seeded.ts'

type Setting = { readonly world: World; readonly folder: string }

const inVault = async (
  seed: string,
  size: Size,
  use: (setting: Setting) => Promise<void>,
): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-flip-'))
  try {
    const world = makeWorld(seeded(seed), size)
    world.writer.writeTo(join(folder, 'bucket'))
    writeFileSync(join(folder, 'identity'), `${world.writer.identity.text}\n`)
    await use({ world, folder })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

describe('flip', () => {
  test('whatever happens to an object, exactly the files concerned are named and the others restored', async () => {
    const result = await drive(check, { name: 'flip', seed: 'slice', more: (cases) => cases < 20 })
    expect(result.failures).toEqual([])
    expect(result.cases).toBe(20)
  })

  test('a wrong byte in a pack concerns the files in its 64 KiB, and no others', async () => {
    await inVault('segments', USUAL, async (setting) => {
      const damages = segmentDamages(setting.world.writer.objects)
      expect(damages.length).toBeGreaterThan(2)
      for (const damage of damages) {
        expect((await runCase(setting, damage)).violations).toEqual([])
      }
    })
  })

  test('every byte of the small objects matters: signers, secrets, and the headers of all others', async () => {
    const chance = seeded('which bits')
    await inVault('headers', TINY, async (setting) => {
      const vault = setting.world.writer.objects
      const victims = { chance, vault, other: vault, samples: 0 }
      for (const kind of KINDS) {
        const [key = ''] = [...vault.keys()].filter((one) => kindOf(one) === kind)
        // A byte in seven: the soak run `flips` takes all of them.
        const damages = damagesOf(victims, key, 'header').filter((_, at) => at % 7 === 0)
        for (const damage of damages) {
          const { violations } = await runCase(setting, damage)
          expect([kind, damage.kind, violations]).toEqual([kind, damage.kind, []])
        }
      }
    })
  })
})
