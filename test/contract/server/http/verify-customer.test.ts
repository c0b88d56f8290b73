import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BackupId } from '#shared/ids.ts'
import { KiB } from '#shared/units.ts'
import { approvalOf, approve } from '../../../support/approving.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import { newId } from '../../../support/http-objects.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { file } from '../../../support/vault-place.ts'
import { lastVerified, settledVerification } from '../../../support/verifying.ts'

let world: ReadingWorld
beforeAll(async () => {
  world = await readingWorld()
})
afterAll(async () => world.close())

describe('under a customer’s key a verification', () => {
  let own: StoredVault
  let id: BackupId
  beforeAll(async () => {
    own = await storeVault(world, { key: 'customer' })
    ;({ id } = await own.backup([file('/f', seeded('own').bytes(5 * KiB))]))
  })
  const ask = async (open_request_id?: string): ReturnType<typeof world.api.call> =>
    world.api.call('POST', `/v1/backups/${id}/verify`, {
      body: { level: 'restore', ...(open_request_id === undefined ? {} : { open_request_id }) },
    })
  const request = async (body: object = {}): Promise<string> => {
    const answer = await world.api.call('POST', '/v1/open-requests', {
      body: { purpose: 'verify', backup_id: id, ...body },
    })
    expect(answer.status).toBe(201)
    return String(dataOf(answer)['id'])
  }

  test('is refused, with what to do instead', async () => {
    const answer = await ask()
    const { code, message } = errorOf(answer)
    expect([answer.status, code]).toEqual([409, 'KEY_REQUIRED'])
    expect(message).toContain('"holdfast verify" with --identity')
    const download = await ask(await request({ purpose: 'download' }))
    expect([download.status, errorOf(download).details['field']]).toEqual([400, 'open_request_id'])
    expect((await ask(newId())).status).toBe(404)
  })

  test('waits until its holder has approved it', async () => {
    const asked = await request()
    const answer = await ask(asked)
    expect([answer.status, dataOf(answer)['status']]).toEqual([202, 'pending'])
    const approval = await approvalOf(world.api, asked, own.writer.identity)
    expect((await approve(world.api, asked, approval)).status).toBe(200)
    const { result, error } = await settledVerification(world, String(dataOf(answer)['id']))
    expect([error, result]).toEqual([null, expect.objectContaining({ status: 'passed', files: 1 })])
  })

  test('is canceled at once while it waits; once it is over there is nothing to cancel', async () => {
    const verification = String(dataOf(await ask(await request()))['id'])
    const cancel = async (): ReturnType<typeof world.api.call> =>
      world.api.call('POST', `/v1/verifications/${verification}/cancel`)
    const canceled = await cancel()
    expect(canceled.status).toBe(200)
    expect(dataOf(canceled)).toMatchObject({
      ...{ status: 'canceled', result: null, error: { code: 'CANCELED' } },
    })
    expect(dataOf(canceled)['completed_at']).toBeTypeOf('string')
    const again = await cancel()
    expect([again.status, errorOf(again).code]).toEqual([409, 'INVALID_STATE'])
    expect(errorOf(again).details['status']).toBe('canceled')
    const list = `/v1/storages/${world.storage}/verifications?status=canceled`
    expect(dataOf(await world.api.call('GET', list))).toMatchObject([{ id: verification }])
    // Nothing of it is in the way of another one.
    const next = await ask(await request())
    expect(next.status).toBe(202)
    await world.api.call('POST', `/v1/verifications/${String(dataOf(next)['id'])}/cancel`)
  })

  test('refuses an open request at a level that opens nothing', async () => {
    const answer = await world.api.call('POST', `/v1/backups/${id}/verify`, {
      body: { level: 'full', open_request_id: await request() },
    })
    expect([answer.status, errorOf(answer).details['field']]).toEqual([400, 'open_request_id'])
  })

  test('ends when that was not approved in its time', async () => {
    const asked = await request()
    const answer = await ask(asked)
    const { db } = world.database
    await db
      .updateTable('open_requests')
      .set({ expires_at: new Date(Date.now() - 1000) })
      .where('id', '=', asked as never)
      .execute()
    expect(await world.api.resources.verifications.expire()).toBe(1)
    const { status, error } = await settledVerification(world, String(dataOf(answer)['id']))
    expect([status, error?.code]).toEqual(['failed', 'KEY_REQUIRED'])
    expect(await lastVerified(world, id)).toMatchObject({ status: 'passed' })
  })
})
