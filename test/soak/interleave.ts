/** Every order of the statements of commits, deletions and collections, all casts: test/support/deletion-casts.ts. */
import { HOUR } from '#shared/units.ts'
import { makeWorld } from '../support/agent-world.ts'
import { stopDatabases, testDatabase } from '../support/database-template.ts'
import { type CastName, CASTS, exploring } from '../support/deletion-casts.ts'
import type { SoakCheck } from './check.ts'

const isCast = (name: string): name is CastName => Object.hasOwn(CASTS, name)
const NAMES = Object.keys(CASTS).filter(isCast)

export const check: SoakCheck = {
  about: 'Executes commits, deletions and collections in every order of their statements.',
  deadline: 12 * HOUR,
  count: () => NAMES.length,
  round: async () => {
    const database = await testDatabase()
    const world = await makeWorld(database)
    return {
      cases: NAMES.length,
      run: async (index) => {
        const name = NAMES[index] ?? 'a commit and a collection'
        const { violations, ...facts } = await exploring([world, database], name)
        return { kind: name, violations, facts }
      },
      close: async () => {
        await database.close()
        await stopDatabases()
      },
    }
  },
}
