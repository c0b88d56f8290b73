import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { ProjectId } from '#shared/ids.ts'
import { SECOND } from '#shared/units.ts'
import { type Answer, dataOf, errorOf, rowsOf } from '../../../support/answers.ts'
import { forFile } from '../../../support/for-file.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { added, addProject, addServer, addToken, parts } from '../../../support/http-objects.ts'
import { ACCESS_KEY, REGION, SECRET, startS3 } from '../../../support/s3-server.ts'
import { type Bend, startStrangeS3, type Strange } from '../../../support/strange-s3.ts'

const { database, api } = apiForFile({ patience: { adding: 5 * SECOND, testing: 2 * SECOND } })
const s3 = forFile(startS3, async (it) => it.close())
const opened: Strange[] = []

beforeAll(async () => {
  for (const Bucket of ['vaults', 'others'])
    await s3.client().send(new CreateBucketCommand({ Bucket }))
})

afterEach(async () => {
  for (const strange of opened.splice(0)) await strange.close()
})

const input = (name: string, over: object = {}): object => ({
  name,
  provider: 'other',
  endpoint: s3.endpoint,
  region: REGION,
  bucket: 'vaults',
  access_key_id: ACCESS_KEY,
  secret_access_key: SECRET,
  ...over,
})

const add = async (name: string, over: object = {}): Promise<string> =>
  added(api, '/v1/storages', input(name, over))

const strange = async (bend: Bend): Promise<string> => {
  const one = await startStrangeS3(s3.port, bend)
  opened.push(one)
  return one.endpoint
}

const named = async (name: string): Promise<number> =>
  rowsOf(await api.call('GET', `/v1/storages?name=${encodeURIComponent(name)}`)).length

const expectRefusal = (answer: Answer, details: object): void => {
  expect([answer.status, errorOf(answer).code]).toEqual([503, 'STORAGE_UNAVAILABLE'])
  expect(errorOf(answer).details).toMatchObject(details)
}

describe('a new storage', () => {
  test('is tried out at once, and what it can do is remembered', async () => {
    const id = await add('good', { prefix: 'a/b' })
    const storage = dataOf(await api.call('GET', `/v1/storages/${id}`))
    expect(storage).toMatchObject({
      name: 'good',
      prefix: 'a/b',
      capabilities: { conditional_put: true, content_bound_grants: true, clock_skew_ms: 0 },
    })
    expect(Date.now() - Date.parse(String(storage['tested_at']))).toBeLessThan(60_000)
  })

  test.each([
    ['refuses the credentials', { secret_access_key: 'wrong' }, 'secret_access_key'],
    ['has no such bucket', { bucket: 'nowhere' }, 'bucket'],
    ['is not there', { endpoint: 'http://127.0.0.1:9' }, 'nothing listens'],
  ])('that %s is refused, and nothing is stored', async (what, over, advice) => {
    const refused = await api.call('POST', '/v1/storages', { body: input(what, over) })
    expectRefusal(refused, { storage: what, verb: 'write' })
    expect(errorOf(refused).details['advice']).toContain(advice)
    expect(JSON.stringify(refused.body)).not.toContain(SECRET)
    expect(await named(what)).toBe(0)
  })

  test('that answers 403, or never, is refused within the deadline', async () => {
    const forbidden = await strange(() => ({ status: 403, code: 'AccessDenied' }))
    const body = input('forbidden', { endpoint: forbidden })
    expectRefusal(await api.call('POST', '/v1/storages', { body }), { problem: '403 AccessDenied' })
    const hanging = await strange(() => 'hang')
    const refused = await api.call('POST', '/v1/storages', {
      body: input('hanging', { endpoint: hanging }),
    })
    expectRefusal(refused, { problem: 'it did not answer within 5.0 s' })
    expect((await named('forbidden')) + (await named('hanging'))).toBe(0)
  })

  test('with a taken name is refused before anybody is asked', async () => {
    let asked = 0
    const endpoint = await strange(() => {
      asked += 1
      return null
    })
    const body = input('local', { endpoint })
    const refused = await api.call('POST', '/v1/storages', { body })
    expect([refused.status, errorOf(refused).details['field'], asked]).toEqual([409, 'name', 0])
  })
})

describe('the test of a storage', () => {
  test('reports each step', async () => {
    const id = await add('tested')
    const report = dataOf(await api.call('POST', `/v1/storages/${id}/test`))
    expect(report['ok']).toBe(true)
    const steps = report['steps'] as { step: string; status: string }[]
    expect(steps.map(({ step }) => step)).toEqual([
      'write',
      'look',
      'read',
      'range',
      'list',
      'overwrite',
      'grant',
      'delete',
      'clock',
    ])
    expect(steps.every(({ status }) => status === 'passed')).toBe(true)
  })

  test('of one that hangs or forbids by now is an answer within the deadline, with advice', async () => {
    let now: ReturnType<Bend> = null
    const id = await add('moody', { endpoint: await strange(() => now) })
    const before = dataOf(await api.call('GET', `/v1/storages/${id}`))
    for (const [answer, problem] of [
      [{ status: 403, code: 'AccessDenied' }, '403 AccessDenied'],
      ['hang', 'it did not answer within 2.0 s'],
    ] as const) {
      now = answer
      const report = await api.call('POST', `/v1/storages/${id}/test`)
      expect(report.status).toBe(200)
      expect(dataOf(report)).toMatchObject({ ok: false, capabilities: null })
      const [first, ...others] = dataOf(report)['steps'] as Record<string, unknown>[]
      expect(first).toMatchObject({ step: 'write', status: 'failed', problem })
      expect(first!['advice']).toMatch(/\.$/)
      expect(new Set(others.map((step) => step['status']))).toEqual(new Set(['skipped']))
    }
    expect(dataOf(await api.call('GET', `/v1/storages/${id}`))).toEqual(before)
  })
})

describe('a storage that changes', () => {
  test('by its name alone is not asked; by its access it is, with what stays', async () => {
    const id = await add('changing')
    const path = `/v1/storages/${id}`
    const port = s3.port
    const renamed = await api.call('PATCH', path, {
      body: { name: 'changed', allow_plaintext_downloads: true },
    })
    expect(dataOf(renamed)).toMatchObject({ name: 'changed', allow_plaintext_downloads: true })
    const wrong = await api.call('PATCH', path, { body: { secret_access_key: 'wrong' } })
    expectRefusal(wrong, { storage: 'changed', verb: 'write' })
    expect(dataOf(await api.call('POST', `${path}/test`))['ok']).toBe(true)
    const right = await api.call('PATCH', path, {
      body: { secret_access_key: SECRET, bucket: 'others', prefix: 'p' },
    })
    expect(dataOf(right)).toMatchObject({ bucket: 'others', prefix: 'p', region: REGION })
    expect(dataOf(await api.call('POST', `${path}/test`))['ok']).toBe(true)
    const taken = await api.call('PATCH', path, { body: { name: 'local' } })
    expect([taken.status, errorOf(taken).details['field']]).toEqual([409, 'name'])
    const unknown = await api.call('PATCH', path, { body: { port } })
    expect([unknown.status, errorOf(unknown).details['field']]).toEqual([400, 'port'])
  })

  test('does not move away from vaults that lie there, and does not go while it is needed', async () => {
    const id = await add('with vaults')
    const path = `/v1/storages/${id}`
    const { encryption_key_id } = await parts(api)
    const server = await addServer(api, 'of the vault')
    const job = await added(api, '/v1/jobs', {
      name: 'of the vault',
      server_id: server,
      storage_id: id,
      encryption_key_id,
      sources: [{ type: 'files', paths: ['/'] }],
    })
    const needed = await api.call('DELETE', path)
    expect([needed.status, errorOf(needed).code]).toEqual([409, 'RESOURCE_HAS_DEPENDENCIES'])
    expect(errorOf(needed).details).toMatchObject({ jobs_count: 1, jobs_ids: [job] })
    expect((await api.call('PATCH', path, { body: { bucket: 'others' } })).status).toBe(200)
    expect((await api.call('PATCH', path, { body: { bucket: 'vaults' } })).status).toBe(200)
    const enrolment = await api.call('POST', `/v1/servers/${server}/enrollment-tokens`, {
      body: { vaults: [{ storage_id: id, encryption_key_id }] },
    })
    const [vault] = dataOf(enrolment)['vaults'] as { id: string }[]
    for (const body of [{ bucket: 'others' }, { prefix: 'p' }]) {
      const moved = await api.call('PATCH', path, { body })
      expect([moved.status, errorOf(moved).code]).toEqual([409, 'RESOURCE_HAS_DEPENDENCIES'])
      expect(errorOf(moved).details).toMatchObject({ vaults_count: 1, vaults_ids: [vault!.id] })
    }
    const stays = { bucket: 'vaults', prefix: '', endpoint: s3.endpoint, region: REGION }
    expect((await api.call('PATCH', path, { body: stays })).status).toBe(200)
    const kept = await api.call('DELETE', path)
    expect(errorOf(kept).details).toMatchObject({ jobs_count: 1, vaults_count: 1 })
  })

  test('goes with its credentials when nothing needs it, and its name is free again', async () => {
    const id = await add('going')
    expect((await api.call('DELETE', `/v1/storages/${id}`)).status).toBe(204)
    for (const [method, path] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['POST', '/test'],
    ] as const)
      expect((await api.call(method, `/v1/storages/${id}${path}`, { body: {} })).status).toBe(404)
    expect(await named('going')).toBe(0)
    const row = await database.db
      .selectFrom('storages')
      .where('id', '=', id as never)
      .select('sealed_credentials')
      .executeTakeFirstOrThrow()
    expect(row.sealed_credentials).toHaveLength(0)
    await add('going')
    const server = await addServer(api, 'without a storage')
    const job = await api.call('POST', '/v1/jobs', {
      body: {
        name: 'without a storage',
        server_id: server,
        ...(await parts(api)),
        storage_id: id,
        sources: [{ type: 'files', paths: ['/'] }],
      },
    })
    expect([job.status, errorOf(job).details['resource']]).toEqual([404, 'storage'])
  })

  test('is not for a token of a project to make, change, test or remove', async () => {
    const project = (await addProject(api, 'storages')) as ProjectId
    const token = await addToken({ database }, { project })
    const id = await add('of all')
    expect((await api.call('GET', `/v1/storages/${id}`, { token })).status).toBe(200)
    for (const [method, path] of [
      ['POST', '/v1/storages'],
      ['PATCH', `/v1/storages/${id}`],
      ['DELETE', `/v1/storages/${id}`],
      ['POST', `/v1/storages/${id}/test`],
    ] as const) {
      const body = method === 'POST' && path === '/v1/storages' ? input('x') : {}
      const refused = await api.call(method, path, { token, body })
      expect([method, path, refused.status]).toEqual([method, path, 403])
    }
  })
})
