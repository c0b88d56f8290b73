import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import { type ReadingWorld, readingWorld, storeVault } from '../../../support/stored-vault.ts'
import { file } from '../../../support/vault-place.ts'
import { eventually } from '../../../support/wait.ts'

let world: ReadingWorld
/** By the clock of readiness; what was found is kept for some seconds. */
let passed = 0
beforeAll(async () => {
  const monotonic = (): number => systemClock.monotonic() + passed
  world = await readingWorld({ readinessClock: { ...systemClock, monotonic } })
})
afterAll(async () => world.close())

type Ready = Awaited<ReturnType<typeof world.api.call>>

const ready = async (): Promise<Ready> => world.api.call('GET', '/readyz', { token: null })

const becomes = async (what: string, holds: (answer: Ready) => boolean): Promise<Ready> =>
  eventually(what, async () => {
    passed += 10_000
    const answer = await ready()
    return holds(answer) ? answer : null
  })

const storageIs = (state: string) => (answer: Ready) =>
  (answer.body['checks'] as { storage?: string } | undefined)?.storage === state

test('readiness looks at a storage that has backups, and says what is not ready', async () => {
  expect((await ready()).body).toEqual({
    status: 'ready',
    checks: { database: 'ok', storage: 'unused' },
  })
  const vault = await storeVault(world)
  await vault.backup([file('/f', 'x')])
  await becomes('a storage in use that answers', storageIs('ok'))

  const genesis = [...vault.writer.objects.keys()].find((key) => key.includes('/signers/'))!
  await vault.spoil(genesis, null)
  const refused = await becomes('a storage without its objects', ({ status }) => status === 503)
  const { code, message } = errorOf(refused)
  expect(code).toBe('STORAGE_UNAVAILABLE')
  expect(message).not.toContain(world.s3.endpoint)
  expect(message).not.toContain(genesis)
  expect(dataOf(refused)).toBeUndefined()

  await vault.heal(genesis)
  await becomes('the storage as it was', storageIs('ok'))
  expect((await world.api.call('GET', '/healthz', { token: null })).status).toBe(200)
})
