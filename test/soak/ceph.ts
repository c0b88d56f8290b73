/** A real Ceph gateway and Debian's PostgreSQL 15 in the places of the parts that come with us. */
import { rmSync } from 'node:fs'
import { MINUTE } from '#shared/units.ts'
import { CASES } from './ceph-cases.ts'
import { startCephWorld } from './ceph-world.ts'
import type { SoakCheck } from './check.ts'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

export const check: SoakCheck = {
  about: 'Backs up to a real Ceph gateway, with Debian’s PostgreSQL 15; installs their packages.',
  deadline: 10 * MINUTE,
  count: () => CASES.length,
  round: async (_index, _chance, folder) => {
    const world = await startCephWorld(folder, (text) => console.error(text))
    // Somebody who has seen enough leaves no cluster behind.
    const end = (): void =>
      void world.close().finally(() => {
        rmSync(folder, { recursive: true, force: true })
        process.exit(130)
      })
    for (const signal of SIGNALS) process.once(signal, end)
    return {
      cases: CASES.length,
      run: async (i, chance) => {
        const [kind, run] = CASES[i]!
        const since = performance.now()
        const { violations, facts } = await run(world, chance)
        const seconds = Math.round((performance.now() - since) / 1000)
        return { kind, violations, facts: { seconds, ...facts } }
      },
      close: async () => {
        for (const signal of SIGNALS) process.off(signal, end)
        await world.close()
      },
    }
  },
}
