import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Caller } from '#server/core/caller.ts'
import { idempotencyIn } from '#server/io/db/idempotency.ts'
import type { HeldKey, Idempotency, KeyClaim } from '#server/ports/idempotency.ts'
import { SECOND } from '#shared/units.ts'
import { id, makeWorld } from '../../support/agent-world.ts'
import { testDatabase, type TestDatabase } from '../../support/database-template.ts'

let database: TestDatabase
let caller: Caller
let keys: Idempotency

beforeAll(async () => {
  database = await testDatabase()
  const world = await makeWorld(database)
  const token = id<'token'>()
  await database.db
    .insertInto('tokens')
    .values({
      id: token,
      org_id: world.organization,
      name: 't',
      hash: new Uint8Array(32),
      scopes: ['read'],
    })
    .execute()
  caller = {
    organization: world.organization,
    token,
    name: 't',
    scopes: ['read'],
    project: null,
    expiresAt: null,
  }
  keys = idempotencyIn(database.db, { sealing: world.sealed, makeId: id })
})

afterAll(async () => database.close())

const claim = async (key: string): Promise<KeyClaim> => keys.claim(caller, key, 'POST /')

const taken = async (key: string): Promise<HeldKey> => {
  const claimed = await claim(key)
  if (claimed.is !== 'mine') throw new Error(claimed.is)
  return claimed.held
}

test('a lease that is renewed goes on, however long the work takes', async () => {
  const held = await taken('long')
  for (let n = 0; n < 5; n += 1) {
    await database.advanceClock(10 * SECOND)
    expect((await claim('long')).is).toBe('busy')
    await keys.renew(held)
  }
  await keys.keep(held, { status: 201, body: '{}' })
  expect(await claim('long')).toEqual({ is: 'done', answer: { status: 201, body: '{}' } })
})

test('a lease that ran out is taken over, and whoever had it changes nothing any more', async () => {
  const first = await taken('lost')
  await database.advanceClock(16 * SECOND)
  const second = await taken('lost')
  await keys.renew(first)
  await keys.keep(first, { status: 500, body: 'of the first' })
  await keys.release(first)
  expect((await claim('lost')).is).toBe('busy')
  await keys.keep(second, { status: 200, body: 'of the second' })
  await keys.release(second)
  expect(await claim('lost')).toMatchObject({ is: 'done', answer: { body: 'of the second' } })
})

test('another request does not take over what ran out', async () => {
  await taken('other')
  await database.advanceClock(16 * SECOND)
  expect((await keys.claim(caller, 'other', 'POST /else')).is).toBe('other')
})
