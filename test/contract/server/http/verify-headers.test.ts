import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Finding } from '#shared/api/findings.ts'
import { pathOf } from '#shared/format/tree-order.ts'
import type { BackupId } from '#shared/ids.ts'
import { KiB } from '#shared/units.ts'
import { HEADER, KINDS, sweepDamage } from '../../../soak/flip-damage.ts'
import { affected } from '../../../soak/flip-oracle.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'
import { verifyByHand } from '../../../support/verifying.ts'
import type { WrittenBackup } from '../../../support/vault-writer.ts'

const LONG = 3_600_000
/** A byte in so many of every header: each step is another kind of object, and the kinds come round with another byte. */
const STRIDE = 31

let world: ReadingWorld
let vault: StoredVault
let id: BackupId
let written: WrittenBackup
const chance = seeded('verify headers')
beforeAll(async () => {
  world = await readingWorld()
  vault = await storeVault(world, { packTarget: 16 * KiB })
  const entries = [directory('/d'), file('/d/a', chance.bytes(9 * KiB)), file('/d/b', 'b')]
  ;({ id, written } = await vault.backup(entries))
})
afterAll(async () => world.close())

const problemsAt = async (level: 'full' | 'restore'): Promise<readonly Finding[]> =>
  (await (await verifyByHand(world, id, level)).turn(LONG)).result!.problems

/** Paths that findings name or span. */
const named = (problems: readonly Finding[]): string[] =>
  written.files
    .map(({ test: one }) => pathOf(one.dir, one.name))
    .filter((path) =>
      problems.some(({ path: from, to }) => {
        if (from === null || to === undefined) return path === from
        return path >= from && (to === null || path < to)
      }),
    )

test('a wrong byte at the beginning of any object is found by "full", and by "restore" with exactly the files concerned', async () => {
  const cases = HEADER * KINDS.length
  for (let step = 0; step < cases; step += STRIDE) {
    const damage = sweepDamage(chance, vault.writer.objects, step)
    const now = new Map(vault.writer.objects)
    for (const [key, bytes] of damage.changes) {
      await vault.spoil(key, () => bytes!)
      now.set(key, bytes!)
    }
    const wanted = affected({ writer: vault.writer, backups: [written] }, written, now)
    const full = await problemsAt('full')
    const restore = named(await problemsAt('restore'))
    const { kind } = damage
    expect({ step, kind, full: full.length > 0, restore: restore.sort() }).toEqual({
      ...{ step, kind },
      full: true,
      restore: [...wanted].sort(),
    })
    for (const key of damage.changes.keys()) await vault.heal(key)
  }
})
