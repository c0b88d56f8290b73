import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { buildApp } from '#server/entry/http/app.ts'
import { makeToken } from '#server/io/secrets.ts'
import { dataOf, errorOf, metaOf, rowsOf } from '../../../support/answers.ts'
import { quiet } from '../../../support/http-app.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addJob, addServer, addToken, newId, parts } from '../../../support/http-objects.ts'

const { database, api } = apiForFile()

describe('the envelope', () => {
  test('one object lies under "data", and the request id goes in and out', async () => {
    const response = await api.app.inject({
      method: 'GET',
      url: '/v1/me',
      headers: { authorization: `Bearer ${api.token}`, 'x-request-id': 'mine-1' },
    })
    expect(response.statusCode).toBe(200)
    expect(response.headers['x-request-id']).toBe('mine-1')
    const body = response.json<{ data: { organization: Record<string, unknown> } }>()
    expect(body.data.organization['name']).toBe('default')
  })

  test('a request id that is no plain word is replaced', async () => {
    const response = await api.app.inject({
      method: 'GET',
      url: '/healthz',
      headers: { 'x-request-id': 'two words' },
    })
    expect(response.headers['x-request-id']).toBe('made-request-id')
  })

  test('a list has its meta, newest first, and pages by cursor without a gap or a repetition', async () => {
    const names = Array.from({ length: 7 }, (_, n) => `page ${n}`)
    for (const name of names) await addServer(api, name)
    const seen: unknown[] = []
    let cursor: unknown = null
    do {
      const query =
        cursor === null ? '' : `&cursor=${encodeURIComponent(JSON.stringify(cursor).slice(1, -1))}`
      const page = await api.call('GET', `/v1/servers?limit=3${query}`)
      expect(page.status).toBe(200)
      expect(metaOf(page)).toMatchObject({ limit: 3, request_id: 'made-request-id' })
      seen.push(...rowsOf(page).map((row) => row['name']))
      cursor = metaOf(page)['next_cursor']
    } while (cursor !== null)
    expect(seen.slice(0, 7)).toEqual(names.toReversed())
    expect(new Set(seen).size).toBe(seen.length)
    const all = await api.call('GET', '/v1/servers?sort=name&limit=100')
    const sorted = rowsOf(all).map((row) => String(row['name']))
    expect(sorted).toEqual(sorted.toSorted())
    expect(metaOf(all)['total']).toBe(seen.length)
  })

  test('size, page_size, offset, sort_by and sort_order are the same as in the description', async () => {
    const by = async (query: string): Promise<unknown[]> =>
      rowsOf(await api.call('GET', `/v1/servers?${query}`)).map((row) => row['name'])
    const all = await by('sort=name&limit=100')
    expect(await by('sort_by=name&sort_order=asc&size=2')).toEqual(all.slice(0, 2))
    expect(await by('sort=name&page_size=2&offset=1')).toEqual(all.slice(1, 3))
    expect(await by('sort=-name&limit=1')).toEqual(all.slice(-1))
  })

  test('a cursor of another order is refused', async () => {
    const page = await api.call('GET', '/v1/servers?limit=1')
    const cursor = encodeURIComponent(String(metaOf(page)['next_cursor']))
    const other = await api.call('GET', `/v1/servers?limit=1&sort=name&cursor=${cursor}`)
    expect(other.status).toBe(400)
    expect(errorOf(other).details['field']).toBe('cursor')
  })
})

describe('who may', () => {
  test('without a token, with an unknown, a malformed, an expired or a revoked one: 401', async () => {
    const unknown = makeToken(randomBytes).token
    const expired = await addToken({ database }, { expires: new Date(Date.now() - 1000) })
    for (const token of [null, unknown, 'hf_short', expired]) {
      const answer = await api.call('GET', '/v1/servers', { token })
      expect(answer.status).toBe(401)
      expect(errorOf(answer).code).toBe('UNAUTHENTICATED')
      expect(answer.headers['www-authenticate']).toBe('Bearer')
    }
  })

  test('without the scope: 403 that names it', async () => {
    const token = await addToken({ database }, { scopes: ['read'] })
    const answer = await api.call('POST', '/v1/servers', {
      token,
      body: { name: 'x', type: 'agent' },
    })
    expect(answer.status).toBe(403)
    expect(errorOf(answer)).toMatchObject({
      code: 'PERMISSION_DENIED',
      details: { scope: 'admin' },
    })
    expect((await api.call('GET', '/v1/servers', { token })).status).toBe(200)
  })

  test('health needs no token', async () => {
    expect((await api.call('GET', '/healthz', { token: null })).status).toBe(200)
    expect((await api.call('GET', '/readyz', { token: null })).status).toBe(200)
  })

  test('an object of another organization is not there', async () => {
    const { job, server } = await addJob(api, 'not yours')
    const started = await api.call('POST', `/v1/jobs/${job}/backups`)
    const backup = String(dataOf(started)['id'])
    const org = newId<'organization'>()
    await database.db
      .insertInto('organizations')
      .values({ id: org, name: 'other', recovery_recipient: null, signing_public_key: null })
      .execute()
    const token = await addToken({ database }, { org })
    for (const path of [
      `/v1/servers/${server}`,
      `/v1/jobs/${job}`,
      `/v1/backups/${backup}`,
      `/v1/backups/${backup}/progress`,
    ]) {
      const answer = await api.call('GET', path, { token })
      expect([path, answer.status]).toEqual([path, 404])
      expect(errorOf(answer).code).toBe('RESOURCE_NOT_FOUND')
      expect((await api.call('GET', path)).status).toBe(200)
    }
    for (const path of [`/v1/jobs/${job}/backups`, `/v1/servers/${server}/enrollment-tokens`])
      expect((await api.call('POST', path, { token })).status).toBe(404)
    for (const path of ['servers', 'storages', 'encryption-keys', 'jobs', 'backups'])
      expect(rowsOf(await api.call('GET', `/v1/${path}`, { token }))).toEqual([])
    const foreign = await api.call('POST', '/v1/jobs', {
      token,
      body: {
        name: 'theirs',
        server_id: server,
        ...(await parts(api)),
        sources: [{ type: 'files', paths: ['/'] }],
      },
    })
    expect(foreign.status).toBe(404)
  })

  test('a token of a project sees that project only', async () => {
    const [own] = await database.db
      .selectFrom('organizations')
      .where('name', '=', 'default')
      .select('id')
      .execute()
    const project = newId<'project'>()
    await database.db
      .insertInto('projects')
      .values({ id: project, org_id: own!.id, name: 'p' })
      .execute()
    const token = await addToken({ database }, { project })
    const { job, server } = await addJob(api, 'outside the project')
    expect(rowsOf(await api.call('GET', '/v1/servers', { token }))).toEqual([])
    expect((await api.call('GET', `/v1/servers/${server}`, { token })).status).toBe(404)
    expect((await api.call('GET', `/v1/jobs/${job}`, { token })).status).toBe(404)
    const inside = await api.call('POST', '/v1/servers', {
      token,
      body: { name: 'inside', type: 'agent' },
    })
    expect(dataOf(inside)['project_id']).toBe(project)
    expect(rowsOf(await api.call('GET', '/v1/servers', { token }))).toHaveLength(1)
  })

  test('a route that declares no scope does not start', async () => {
    const start = buildApp(
      { tokens: api.resources.tokens, log: quiet, requestsPerMinute: 1, makeRequestId: () => 'r' },
      [(app) => void app.get('/v1/open-door', async () => Promise.resolve({}))],
    )
    await expect(start).rejects.toThrow('/v1/open-door declares no scope')
  })

  test('a token that asks too often is told when to come again, another one is not', async () => {
    const app = await buildApp(
      { tokens: api.resources.tokens, log: quiet, requestsPerMinute: 3, makeRequestId: () => 'r' },
      [
        (one) =>
          void one.get('/v1/x', { config: { scope: 'read' } }, async () => Promise.resolve({})),
      ],
    )
    const ask = async (token: string) =>
      app.inject({ url: '/v1/x', headers: { authorization: `Bearer ${token}` } })
    const answers = []
    for (let n = 0; n < 4; n += 1) answers.push(await ask(api.token))
    expect(answers.map((answer) => answer.statusCode)).toEqual([200, 200, 200, 429])
    expect(answers.map((answer) => answer.headers['x-ratelimit-remaining'])).toEqual([
      '2',
      '1',
      '0',
      '0',
    ])
    expect(answers[0]!.headers['x-ratelimit-limit']).toBe('3')
    expect(Number(answers[3]!.headers['retry-after'])).toBeGreaterThan(0)
    expect(answers[3]!.json<{ error: { code: string } }>().error.code).toBe('RATE_LIMITED')
    expect((await ask(await addToken({ database }))).statusCode).toBe(200)
    await app.close()
  })
})
