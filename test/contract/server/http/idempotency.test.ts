import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { ProjectId } from '#shared/ids.ts'
import { type Answer, dataOf, errorOf, metaOf, rowsOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addJob, addProject, addServer, addToken } from '../../../support/http-objects.ts'

const { database, api } = apiForFile()

const post = async (key: string, url: string, body?: unknown, token?: string): Promise<Answer> =>
  api.call('POST', url, {
    ...(body === undefined ? {} : { body }),
    ...(token === undefined ? {} : { token }),
    headers: { 'idempotency-key': key },
  })

const isReplayed = (answer: Answer): boolean => answer.headers['idempotency-replayed'] === 'true'

const rows = async (): Promise<readonly { key: string; row: string }[]> =>
  database.sql.unsafe<{ key: string; row: string }[]>(
    `select key, row_to_json(k)::text || encode(convert_to(k::text, 'UTF8'), 'escape') as row from idempotency_keys k`,
  )

/** What the row of `key` becomes when time passes, or when whoever worked on it died. */
const change = async (key: string, columns: string): Promise<void> => {
  await sql`update idempotency_keys set ${sql.raw(columns)} where key = ${key}`.execute(database.db)
}

const named = async (name: string): Promise<number> =>
  Number(metaOf(await api.call('GET', `/v1/servers?name=${encodeURIComponent(name)}`))['total'])

const agent = (name: string) => ({ name, type: 'agent', environment: 'staging' })

describe('a key that is used again', () => {
  test('for the same request gives the same answer, and nothing is done twice', async () => {
    const first = await post('k-1', '/v1/servers', agent('once'))
    expect([first.status, isReplayed(first)]).toEqual([201, false])
    const again = await post('k-1', '/v1/servers', {
      environment: 'staging',
      type: 'agent',
      name: 'once',
    })
    expect([again.status, isReplayed(again)]).toEqual([201, true])
    expect(again.body).toEqual(first.body)
    expect(again.headers['content-type']).toBe(first.headers['content-type'])
    expect(await named('once')).toBe(1)
    const { job } = await addJob(api, 'started once')
    const path = `/v1/jobs/${job}/backups`
    const started = await post('k-2', path)
    const restarted = await post('k-2', path)
    expect([started.status, restarted.status]).toEqual([202, 202])
    expect(dataOf(restarted)['id']).toBe(dataOf(started)['id'])
    expect((await post('k-3', path)).status).toBe(409)
  })

  test('for another one is refused: other fields, another route', async () => {
    const path = `/v1/servers/${await addServer(api, 'enrolled')}/enrollment-tokens`
    await post('k-4', path, { expires_in: '1h' })
    for (const [url, body] of [
      [path, { expires_in: '2h' }],
      ['/v1/projects', { name: 'p' }],
    ] as const) {
      const refused = await post('k-4', url, body)
      expect([refused.status, errorOf(refused).code]).toEqual([409, 'CONFLICT'])
      expect(errorOf(refused).details['field']).toBe('Idempotency-Key')
    }
  })

  test('by another token is another key', async () => {
    const token = await addToken({ database })
    expect((await post('k-5', '/v1/projects', { name: 'of one' })).status).toBe(201)
    expect((await post('k-5', '/v1/projects', { name: 'of two' }, token)).status).toBe(201)
  })

  test('for a request that was refused gives that refusal again, also when it would succeed by now', async () => {
    const project = await addProject(api, 'full')
    const body = { name: 'again', type: 'agent', project_id: project }
    await addServer(api, 'again')
    const refused = await post('k-6', '/v1/servers', body)
    expect([refused.status, errorOf(refused).code]).toEqual([409, 'CONFLICT'])
    const [found] = rowsOf(await api.call('GET', '/v1/servers?name=again'))
    await api.call('DELETE', `/v1/servers/${String(found!['id'])}`)
    const again = await post('k-6', '/v1/servers', body)
    expect([again.body, isReplayed(again)]).toEqual([refused.body, true])
    expect((await post('k-7', '/v1/servers', body)).status).toBe(201)
  })

  test('for a request that may succeed later is tried again', async () => {
    const { job } = await addJob(api, 'busy')
    const path = `/v1/jobs/${job}/backups`
    const running = dataOf(await api.call('POST', path))
    const refused = await post('k-8', path)
    expect([refused.status, errorOf(refused).code]).toEqual([409, 'OPERATION_IN_PROGRESS'])
    await api.call('POST', `/v1/backups/${String(running['id'])}/cancel`)
    const done = await post('k-8', path)
    expect([done.status, isReplayed(done)]).toEqual([202, false])
  })

  test('a day later is a new key', async () => {
    const body = { expires_in: '1h' }
    const path = `/v1/servers/${await addServer(api, 'a day later')}/enrollment-tokens`
    const first = await post('k-9', path, body)
    await change('k-9', "created_at = hf_now() - interval '23 hours 59 minutes'")
    expect((await post('k-9', path, body)).body).toEqual(first.body)
    await change('k-9', "created_at = hf_now() - interval '24 hours 1 second'")
    const later = await post('k-9', path, body)
    expect([later.status, isReplayed(later)]).toEqual([201, false])
    expect(dataOf(later)['id']).not.toBe(dataOf(first)['id'])
  })

  test('that is old is swept away by any other', async () => {
    await post('k-10', '/v1/projects', { name: 'swept' })
    await change('k-10', "created_at = hf_now() - interval '2 days'")
    await post('k-11', '/v1/projects', { name: 'sweeping' })
    expect((await rows()).map(({ key }) => key)).not.toContain('k-10')
  })
})

describe('a key that is used by several at once', () => {
  test('lets one do it, and gives its answer to all', async () => {
    const path = `/v1/servers/${await addServer(api, 'raced')}/enrollment-tokens`
    const answers = await Promise.all(
      Array.from({ length: 12 }, async () => post('r-1', path, { expires_in: '1h' })),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
    expect(new Set(answers.map((answer) => dataOf(answer)['token'])).size).toBe(1)
    expect(answers.filter(isReplayed)).toHaveLength(11)
  })

  test('for different requests lets one do it, and refuses the others', async () => {
    const answers = await Promise.all(
      Array.from({ length: 6 }, async (_, n) => post('r-2', '/v1/servers', agent(`other ${n}`))),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(5)
  })

  test('and whose first request never ended is free again after a moment', async () => {
    const body = agent('after a crash')
    const first = await post('r-3', '/v1/servers', body)
    await api.call('DELETE', `/v1/servers/${String(dataOf(first)['id'])}`)
    // As a process leaves it that was killed at its work.
    await change(
      'r-3',
      "status = null, sealed_response = null, lease_until = hf_now() + interval '1 second'",
    )
    const waited = await post('r-3', '/v1/servers', body)
    expect([waited.status, isReplayed(waited)]).toEqual([201, false])
    expect((await post('r-3', '/v1/servers', body)).body).toEqual(waited.body)
    expect(await named('after a crash')).toBe(1)
  })
})

describe('what is kept', () => {
  test('is sealed: no token, identity or enrolment token stands in the table', async () => {
    const key = dataOf(
      await api.call('POST', '/v1/encryption-keys', { body: { name: 'kept', type: 'managed' } }),
    )
    const server = await addServer(api, 'of secrets')
    const token = dataOf(await post('s-1', '/v1/tokens', { name: 't', scopes: ['read'] }))['token']
    const enrolment = dataOf(await post('s-2', `/v1/servers/${server}/enrollment-tokens`))['token']
    const path = `/v1/encryption-keys/${String(key['id'])}/export`
    const identity = dataOf(await post('s-3', path))['identity']
    const again = await post('s-1', '/v1/tokens', { name: 't', scopes: ['read'] })
    expect([dataOf(again)['token'], isReplayed(again)]).toEqual([token, true])
    const dump = (await rows()).map(({ row }) => row).join('\n')
    expect(dump).toContain('s-3')
    for (const secret of [token, enrolment, identity]) {
      expect(dump).not.toContain(String(secret))
      expect(dump).not.toContain(Buffer.from(String(secret)).toString('hex'))
    }
  })

  test('does not outlive the right to it', async () => {
    const project = (await addProject(api, 'of a key')) as ProjectId
    const token = await addToken({ database }, { project })
    const body = { name: 'by a project', type: 'agent' }
    expect((await post('s-4', '/v1/servers', body, token)).status).toBe(201)
    await sql`update tokens set scopes = '{read}' where project_id = ${project}`.execute(
      database.db,
    )
    expect((await post('s-4', '/v1/servers', body, token)).status).toBe(403)
  })
})

describe('a key', () => {
  test.each([
    ['with a space', 'a b'],
    ['of 256 characters', 'k'.repeat(256)],
    ['of nothing', ''],
  ])('%s is refused', async (_what, key) => {
    const refused = await post(key, '/v1/projects', { name: 'x' })
    expect([refused.status, errorOf(refused).details['field']]).toEqual([400, 'Idempotency-Key'])
  })

  test('of 255 characters is fine; on a GET it means nothing', async () => {
    const key = 'k'.repeat(255)
    expect((await post(key, '/v1/projects', { name: 'long key' })).status).toBe(201)
    const headers = { 'idempotency-key': key }
    const one = await api.call('GET', '/v1/projects?name=long%20key', { headers })
    expect([one.status, rowsOf(one).length]).toEqual([200, 1])
  })

  test('is not spent by a body that is wrong', async () => {
    const wrong = await post('w-1', '/v1/projects', { title: 'x' })
    expect(wrong.status).toBe(400)
    expect((await post('w-1', '/v1/projects', { name: 'right by now' })).status).toBe(201)
  })
})
