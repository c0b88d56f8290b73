import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { settleLeases } from '#server/flow/settle-leases.ts'
import { systemRandom } from '#server/io/random.ts'
import { boxPublicKey } from '#shared/format/keys.ts'
import type { BackupId, OpenRequestId, RestoreId } from '#shared/ids.ts'
import { HOUR, KiB } from '#shared/units.ts'
import { approvalOf, approve, requestOf } from '../../../support/approving.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import { addToken } from '../../../support/http-objects.ts'
import { askRestore, never, partsOf, restoringAgent } from '../../../support/restoring.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'

let world: ReadingWorld
let vault: StoredVault
let backup: BackupId
const openerKey = Buffer.from(boxPublicKey(systemRandom(32))).toString('base64url')

beforeAll(async () => {
  world = await readingWorld()
  vault = await storeVault(world, { key: 'customer', packTarget: 32 * KiB, chunk: 8 * KiB })
  const random = seeded('open approvals').bytes
  const names = ['a', 'b', 'c', 'd']
  const files = names.map((name) => file(`/d/${name}`, random(40 * KiB)))
  backup = (await vault.backup([directory('/d'), ...files])).id
})
afterAll(async () => world.close())

const asked = async (body: object = {}): Promise<string> => {
  const answer = await world.api.call('POST', '/v1/open-requests', {
    body: { purpose: 'download', backup_id: backup, opener_key: openerKey, ...body },
  })
  expect(answer.status).toBe(201)
  return String(dataOf(answer)['id'])
}
const approvalFor = async (id: string): ReturnType<typeof approvalOf> =>
  approvalOf(world.api, id, vault.writer.identity)

describe('an approval', () => {
  test('takes the scope keys', async () => {
    const id = await asked()
    const token = await addToken(world, { scopes: ['read', 'restore', 'download', 'admin'] })
    const body = await approvalFor(id)
    const answer = await world.api.call('POST', `/v1/open-requests/${id}/approve`, { body, token })
    expect(errorOf(answer)).toMatchObject({ code: 'PERMISSION_DENIED', details: { scope: 'keys' } })
  })

  test('has a key of the right length for every pack, and none for others', async () => {
    const id = await asked()
    const good = await approvalFor(id)
    const [first = '', ...rest] = Object.keys(good.sealed_file_keys)
    const without = Object.fromEntries(rest.map((no) => [no, good.sealed_file_keys[no]]))
    const cases: readonly (readonly [object, string])[] = [
      [{ ...good, sealed_file_keys: without }, `sealed_file_keys.${first}`],
      [
        {
          ...good,
          sealed_file_keys: { ...good.sealed_file_keys, 77: good.sealed_file_keys[first] },
        },
        'sealed_file_keys.77',
      ],
      [
        { ...good, sealed_file_keys: { ...good.sealed_file_keys, [first]: 'AAAA' } },
        `sealed_file_keys.${first}`,
      ],
      [{ sealed_file_keys: good.sealed_file_keys }, 'sealed_id_key'],
      [{ ...good, sealed_id_key: good.sealed_file_keys[first] }, 'sealed_id_key'],
      [{ ...good, sealed_vault_secret: 'x' }, 'sealed_vault_secret'],
    ]
    for (const [body, field] of cases)
      expect(errorOf(await approve(world.api, id, body))).toMatchObject({
        code: 'VALIDATION_FAILED',
        details: { field },
      })
    expect((await requestOf(world.api, id)).status).toBe('pending')
    const done = await approve(world.api, id, good)
    expect(dataOf(done)).toMatchObject({ status: 'approved' })
    expect(dataOf(done)['approved_at']).not.toBeNull()
    expect(errorOf(await approve(world.api, id, good))).toMatchObject({
      code: 'INVALID_STATE',
      details: { status: 'approved' },
    })
    const row = await world.database.db
      .selectFrom('audit_log')
      .select('action')
      .where('subject_id', '=', id as OpenRequestId)
      .execute()
    expect(row.map(({ action }) => action).sort()).toEqual([
      'open_request.approved',
      'open_request.made',
    ])
  })

  test('may come in several parts, and counts with the last of them', async () => {
    const id = await asked()
    const good = await approvalFor(id)
    const pages = Object.entries(good.sealed_file_keys).map(([no, key]) => ({ [no]: key }))
    for (const sealed_file_keys of pages.slice(1))
      expect(dataOf(await approve(world.api, id, { sealed_file_keys, more: true }))).toMatchObject({
        status: 'pending',
      })
    expect(await world.api.agents.openRequests.approval(id as OpenRequestId)).toBeNull()
    const last = { sealed_file_keys: pages[0], sealed_id_key: good.sealed_id_key }
    expect(dataOf(await approve(world.api, id, last))).toMatchObject({ status: 'approved' })
  })

  test('of two at once is one', async () => {
    const id = await asked()
    const good = await approvalFor(id)
    const answers = await Promise.all([1, 2, 3].map(async () => approve(world.api, id, good)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409])
  })

  test('comes too late when its time is over, or its restore is', async () => {
    const agent = await restoringAgent(world, partsOf(world))
    const body = { compute: { type: 'agent', server_id: agent.server }, target_path: '/over' }
    const restore = await askRestore(world, backup, body)
    const { open_request_id } = dataOf(await world.api.call('GET', `/v1/restores/${restore}`))
    await world.api.call('POST', `/v1/restores/${restore}/cancel`)
    const canceled = String(open_request_id)
    expect((await requestOf(world.api, canceled)).status).toBe('expired')
    const late = await asked({ expires_in: '1h' })
    const approvals = [await approvalFor(canceled), await approvalFor(late)] as const
    await world.database.advanceClock(2 * HOUR)
    for (const [i, id] of [canceled, late].entries())
      expect(errorOf(await approve(world.api, id, approvals[i]!))).toMatchObject({
        code: 'INVALID_STATE',
        details: { status: 'expired' },
      })
  })
})

describe('a restore with a customer’s key', () => {
  test('fails with what to do when its open request is not approved in time', async () => {
    const agent = await restoringAgent(world, partsOf(world))
    const body = { compute: { type: 'agent', server_id: agent.server }, target_path: '/late' }
    const answer = await world.api.call('POST', `/v1/backups/${backup}/restore`, { body })
    expect(answer.status).toBe(201)
    const restore = dataOf(answer)
    expect(restore['message']).toContain(
      `holdfast keys approve ${String(restore['open_request_id'])}`,
    )
    const request = await requestOf(world.api, String(restore['open_request_id']))
    expect(request).toMatchObject({ restore_id: restore['id'], purpose: 'restore' })
    await world.database.advanceClock(23 * HOUR)
    await settleLeases(partsOf(world), never)
    const url = `/v1/restores/${String(restore['id'])}`
    expect(dataOf(await world.api.call('GET', url))).toMatchObject({ status: 'pending' })
    await world.database.advanceClock(HOUR)
    await settleLeases(partsOf(world), never)
    const failed = dataOf(await world.api.call('GET', url))
    expect(failed).toMatchObject({ status: 'failed', error: { code: 'KEY_REQUIRED' } })
    expect(failed['message']).toContain('approve the open request')
    const row = await world.database.db
      .selectFrom('restores')
      .select('started_at')
      .where('id', '=', restore['id'] as RestoreId)
      .executeTakeFirstOrThrow()
    expect(row.started_at).toBeNull()
  })
})
