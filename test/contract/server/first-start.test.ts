import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RecoveryKit } from '#shared/format/recovery-kit.ts'
import { kitSigningKey } from '#shared/format/recovery-kit.ts'
import { parseIdentity } from '#shared/format/keys.ts'
import { secret } from '#shared/secret.ts'
import { bootstrap, type Bootstrapped } from '#server/flow/bootstrap.ts'
import { systemClock } from '#server/io/clock.ts'
import { checkMasterKey } from '#server/io/db/master-key.ts'
import { openDatabase } from '#server/io/db/open.ts'
import { resourcesIn } from '#server/io/db/resources.ts'
import { systemRandom } from '#server/io/random.ts'
import { sealing } from '#server/io/secrets.ts'
import { EMBEDDED, startTestDatabase, type TestDatabase } from '../../support/http-app.ts'

let test_: TestDatabase
const seal = sealing(secret(systemRandom(32)), systemRandom)
const world = { sealing: seal, clock: systemClock, random: systemRandom }

beforeAll(async () => {
  test_ = await startTestDatabase()
})
afterAll(async () => test_.close())

/** One process: its own connections. */
const startOnce = async (
  deliver: (kit: RecoveryKit) => Promise<void>,
): Promise<Bootstrapped | null> => {
  const database = openDatabase(test_.postgres.connect)
  try {
    const { firstStart } = resourcesIn(database.db, world)
    return await bootstrap(
      { firstStart, clock: systemClock, random: systemRandom },
      { storage: EMBEDDED, deliver },
    )
  } finally {
    await database.close()
  }
}

const organizations = async () =>
  test_.database.db.selectFrom('organizations').selectAll().execute()

test('a kit that could not be delivered leaves nothing behind', async () => {
  const start = startOnce(async () => Promise.reject(new Error('the disk is full')))
  await expect(start).rejects.toThrow('the disk is full')
  expect(await organizations()).toEqual([])
})

test('of four first starts at once one makes the organization, and only its kit is shown', async () => {
  const kits: RecoveryKit[] = []
  const starts = await Promise.all(
    Array.from({ length: 4 }, async () =>
      startOnce(async (kit) => {
        kits.push(kit)
        return Promise.resolve()
      }),
    ),
  )
  expect(kits).toHaveLength(1)
  const made = starts.filter((one) => one !== null)
  expect(made).toHaveLength(1)
  const [organization, ...others] = await organizations()
  expect(others).toEqual([])
  const [kit] = kits
  expect(organization!.id).toBe(kit!.organizationId)
  expect(organization!.recovery_recipient).toBe(parseIdentity(kit!.identity).recipient.text)
  expect(Buffer.from(organization!.signing_public_key!).toString('base64url')).toBe(
    kitSigningKey(kit!),
  )
  expect(organization!.kit_confirmed_at).toBeNull()
  for (const table of ['tokens', 'storages', 'encryption_keys'] as const) {
    const rows = await test_.database.db.selectFrom(table).select('id').execute()
    expect([table, rows.length]).toEqual([table, 1])
  }
  const { tokens } = resourcesIn(test_.database.db, world)
  const caller = await tokens.find(made[0]!.token)
  expect(caller?.scopes).toHaveLength(7)
})

test('a later start makes nothing and shows nothing', async () => {
  const again = await startOnce(async () => Promise.reject(new Error('no kit is to be shown')))
  expect(again).toBeNull()
})

test('another master key is noticed before it seals anything', async () => {
  await checkMasterKey(test_.database.db, seal)
  const other = sealing(secret(systemRandom(32)), systemRandom)
  await expect(checkMasterKey(test_.database.db, other)).rejects.toThrow('HOLDFAST_MASTER_KEY')
})
