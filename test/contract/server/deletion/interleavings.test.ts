/**
 * Every order in which a commit, a person and a collection can be executed, statement by statement, on PostgreSQL. The larger
 * casts, of three and with time that passes anywhere, are those of `npm run soak -- interleave`.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeWorld, type World } from '../../../support/agent-world.ts'
import { type TestDatabase, testDatabase } from '../../../support/database-template.ts'
import { type CastName, exploring, SPOILED } from '../../../support/deletion-casts.ts'

let database: TestDatabase
let world: World

beforeAll(async () => {
  database = await testDatabase()
  world = await makeWorld(database)
})
afterAll(async () => database.close())

const LONG = { timeout: 20 * 60_000 }

describe('whatever comes first, no kept backup loses a pack and no unneeded pack stays', () => {
  const promised: readonly CastName[] = [
    'a commit and a collection',
    'a run from its beginning and a collection',
    'a person who brings a backup back and a collection',
  ]
  test.each(promised)('%s', LONG, async (name) => {
    const { violations, orders, waits } = await exploring([world, database], name)
    expect(violations).toEqual([])
    expect(orders).toBeGreaterThan(10)
    // Somebody had to wait for a lock.
    expect(waits).toBeGreaterThan(0)
  })

  test('and it is noticed when floors do not count', LONG, async () => {
    const { violations } = await exploring([world, database], 'a commit and a collection', {
      spoil: SPOILED.floor,
    })
    expect(violations[0]).toMatch(/^the run was missing/)
  })

  test('and it is noticed when a collection leaves the gate open', LONG, async () => {
    const { violations } = await exploring(
      [world, database],
      'a run from its beginning and a collection',
      // It has been told, and nobody sees it yet.
      { spoil: SPOILED.gate, first: ['run', 'run', 'run'] },
    )
    expect(violations[0]).toMatch(/^the run was missing/)
  })
})
