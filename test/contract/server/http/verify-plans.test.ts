import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Verification } from '#shared/api/verifications.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { file } from '../../../support/vault-place.ts'
import { eventually } from '../../../support/wait.ts'

let world: ReadingWorld
let vault: StoredVault
let customer: StoredVault
const newest: string[] = []
beforeAll(async () => {
  world = await readingWorld()
  vault = await storeVault(world)
  customer = await storeVault(world, { key: 'customer' })
  for (const one of [vault, customer]) {
    await one.backup([file('/f', 'old')])
    newest.push((await one.backup([file('/f', 'new')])).id)
  }
})
afterAll(async () => world.close())

const patch = async (verify: unknown): ReturnType<typeof world.api.call> =>
  world.api.call('PATCH', `/v1/storages/${world.storage}`, { body: { verify } })

const list = async (): Promise<readonly Verification[]> => {
  const { body } = await world.api.call('GET', `/v1/storages/${world.storage}/verifications`)
  return body['data'] as Verification[]
}

const planned = async (): Promise<readonly Date[]> => {
  const rows = await world.database.db.selectFrom('verification_plans').select('due_at').execute()
  return rows.map(({ due_at }) => due_at)
}

const startDue = async (): Promise<number> => world.api.resources.verifications.startDue(100)

const HOUR = 3_600_000

test('a storage says what it verifies by itself, and nothing at first', async () => {
  const { status, body } = await world.api.call('GET', `/v1/storages/${world.storage}`)
  expect([status, body['data']]).toMatchObject([200, { verify: null }])
  const short = await patch({ level: 'full', every: '5m' })
  expect([short.status, errorOf(short).details['field']]).toEqual([400, 'verify.every'])
  expect((await patch({ level: 'deep', every: '1d' })).status).toBe(400)
  expect(await planned()).toEqual([])
})

test('the newest backup of each job is verified at once and then every so often, each time once', async () => {
  const changed = await patch({ level: 'restore', every: '7d' })
  expect([changed.status, dataOf(changed)['verify']]).toEqual([
    200,
    { level: 'restore', every: 'P7D' },
  ])
  // The worker's own sweep may have been faster.
  await startDue()
  const done = await eventually('two verifications', async () => {
    const rows = await list()
    return rows.length === 2 && rows.every(({ status }) => status === 'completed') ? rows : null
  })
  const found = done.map(({ backup_id, level, result }) => [backup_id, level, result?.status])
  // Nobody can open a customer's backup for a plan.
  expect(found.toSorted()).toEqual(
    [
      [newest[0], 'restore', 'passed'],
      [newest[1], 'full', 'passed'],
    ].toSorted(),
  )
  expect(await startDue()).toBe(0)
  for (const due of await planned())
    expect(due.getTime()).toBeGreaterThan(Date.now() + 6 * 24 * HOUR)
  expect(await list()).toHaveLength(2)
})

test('what is due is found again, a shorter time counts at once, and null is the end of it', async () => {
  await patch({ level: 'objects', every: '1h' })
  for (const due of await planned()) expect(due.getTime()).toBeLessThan(Date.now() + 2 * HOUR)
  await world.database.db
    .updateTable('verification_plans')
    .set({ due_at: new Date(0) })
    .execute()
  await eventually('four verifications', async () => {
    await startDue()
    return (await list()).filter(({ level }) => level === 'objects').length === 2
  })
  await patch(null)
  expect(await planned()).toEqual([])
  expect(await startDue()).toBe(0)
})

test('a job whose first backup comes later is planned with it, and forgotten when none is left', async () => {
  await patch({ level: 'objects', every: '1d' })
  await eventually('the plans are made', async () => {
    await startDue()
    return (await planned()).every((due) => due.getTime() > Date.now())
  })
  const late = await storeVault(world)
  const { id } = await late.backup([file('/f', 'late')])
  await eventually('its verification', async () => {
    await startDue()
    return (await list()).some(({ backup_id }) => backup_id === id)
  })
  expect(await planned()).toHaveLength(3)
  const { db } = world.database
  await db
    .updateTable('backups')
    .set({ deleted_at: new Date() })
    .where('job_id', '=', late.job)
    .execute()
  await db
    .updateTable('verification_plans')
    .set({ due_at: new Date(0) })
    .where('job_id', '=', late.job)
    .execute()
  await eventually('its plan is gone', async () => {
    await startDue()
    return (await planned()).length === 2
  })
})
