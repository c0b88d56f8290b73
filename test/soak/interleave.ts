/** Every order of the statements of commits, deletions and collections, all casts: test/support/deletion-casts.ts. */
import { fail } from '#shared/errors.ts'
import { HOUR, SECOND } from '#shared/units.ts'
import { makeWorld } from '../support/agent-world.ts'
import { stopDatabases, testDatabase } from '../support/database-template.ts'
import { type CastName, CASTS, exploring } from '../support/deletion-casts.ts'
import type { Chosen, SoakCheck } from './check.ts'

const isCast = (name: string): name is CastName => Object.hasOwn(CASTS, name)
const NAMES = Object.keys(CASTS).filter(isCast)

const namesOf = ({ cast = 'all' }: Chosen): readonly CastName[] => {
  if (cast === 'all') return NAMES
  if (isCast(cast)) return [cast]
  throw fail('VALIDATION_FAILED', { field: 'cast', problem: `must be one of ${NAMES.join('; ')}` })
}

const EVERY = 10 * SECOND

export const check: SoakCheck = {
  about: 'Executes commits, deletions and collections in every order of their statements.',
  deadline: 12 * HOUR,
  options: { cast: 'all' },
  count: (chosen) => namesOf(chosen).length,
  round: async (_, __, ___, chosen) => {
    const names = namesOf(chosen)
    const database = await testDatabase()
    const world = await makeWorld(database)
    return {
      cases: names.length,
      run: async (index) => {
        const name = names[index] ?? 'a commit and a collection'
        let told = performance.now()
        const { violations, ...facts } = await exploring([world, database], name, {
          tell: (orders, open) => {
            if (performance.now() - told < EVERY) return
            told = performance.now()
            console.error(`${name}: ${orders} orders, ${open} known that are left`)
          },
        })
        return { kind: name, violations, facts }
      },
      close: async () => {
        await database.close()
        await stopDatabases()
      },
    }
  },
}
