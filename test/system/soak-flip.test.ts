import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseKey } from '#shared/format/layout.ts'
import { drive } from '../soak/drive.ts'
import { check, runCase } from '../soak/flip.ts'
import { flipAt } from '../soak/flip-damage.ts'
import { makeWorld } from '../soak/flip-world.ts'
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
      const world = makeWorld(seeded('headers'), { folders: 1, others: 1, backups: 1 })
      world.writer.writeTo(join(folder, 'bucket'))
      writeFileSync(join(folder, 'identity'), `${world.writer.identity.text}\n`)
      const chance = seeded('which bytes')
      for (const kind of ['signer', 'key', 'record', 'tree', 'pack']) {
        const [key, bytes] =
          [...world.writer.objects].find(([one]) => parseKey(one)?.kind === kind) ?? []
        if (key === undefined || bytes === undefined) throw new Error(`no ${kind} in the vault`)
        // Each third byte, beginning elsewhere for each object: the soak run takes all of them in time.
        for (let at = chance.below(3); at < Math.min(bytes.length, 450); at += 3) {
          const changes = new Map([[key, flipAt(bytes, at, 1 << chance.below(8))]])
          const result = await runCase({ world, folder }, { kind, changes })
          expect({ kind, at, violations: result.violations }).toEqual({ kind, at, violations: [] })
        }
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
