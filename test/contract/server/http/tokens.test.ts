import { describe, expect, test } from 'vitest'
import type { ProjectId } from '#shared/ids.ts'
import { SCOPES } from '#shared/api/tokens.ts'
import { dataOf, errorOf, rowsOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addProject, addServer, addToken, newId } from '../../../support/http-objects.ts'

const { database, api } = apiForFile()

const make = async (body: object, token?: string) =>
  api.call('POST', '/v1/tokens', { body, ...(token === undefined ? {} : { token }) })

const inSeconds = (at: unknown): number => (Date.parse(String(at)) - Date.now()) / 1000

describe('tokens', () => {
  test('the secret is shown once, works at once, and is kept as a hash', async () => {
    const made = await make({ name: 'reader', scopes: ['read'] })
    expect(made.status).toBe(201)
    expect(made.headers['cache-control']).toBe('no-store')
    const { token, id, ...shown } = dataOf(made)
    expect(shown).toMatchObject({
      name: 'reader',
      scopes: ['read'],
      project_id: null,
      expires_at: null,
    })
    const me = await api.call('GET', '/v1/me', { token: String(token) })
    expect(dataOf(me)['token']).toMatchObject({ id, name: 'reader', scopes: ['read'] })
    const list = await api.call('GET', '/v1/tokens?name=reader')
    expect(rowsOf(list).map((row) => row['id'])).toEqual([id])
    expect(JSON.stringify(list.body)).not.toContain(String(token))
    const rows = await database.sql.unsafe<{ row: string }[]>(
      'select row_to_json(t)::text as row from (select * from tokens) t union all select row_to_json(a)::text from audit_log a',
    )
    expect(rows.map(({ row }) => row).join()).not.toContain(String(token))
    expect((await api.call('POST', '/v1/servers', { token: String(token) })).status).toBe(403)
  })

  test('one that is revoked is worth nothing from then on, and is not listed', async () => {
    const made = dataOf(await make({ name: 'short-lived', scopes: ['read'] }))
    const path = `/v1/tokens/${String(made['id'])}`
    expect((await api.call('DELETE', path)).status).toBe(204)
    const refused = await api.call('GET', '/v1/me', { token: String(made['token']) })
    expect(refused.status).toBe(401)
    expect(rowsOf(await api.call('GET', '/v1/tokens?name=short-lived'))).toEqual([])
    expect((await api.call('DELETE', path)).status).toBe(404)
    const deeds = await database.db
      .selectFrom('audit_log')
      .where('subject_type', '=', 'token')
      .where('subject_id', '=', String(made['id']))
      .select(['action', 'actor', 'request_id'])
      .orderBy('id')
      .execute()
    expect(deeds).toMatchObject([
      { action: 'token.made', actor: { name: 'local' }, request_id: 'made-request-id' },
      { action: 'token.revoked' },
    ])
  })

  test('never have more scopes than their maker', async () => {
    const token = await addToken({ database }, { scopes: ['read', 'admin'] })
    for (const scope of SCOPES) {
      const answer = await make({ name: `of ${scope}`, scopes: ['read', scope] }, token)
      const allowed = scope === 'read' || scope === 'admin'
      expect([scope, answer.status]).toEqual([scope, allowed ? 201 : 403])
      if (!allowed) expect(errorOf(answer).details['scope']).toBe(scope)
    }
    const reader = await addToken({ database }, { scopes: ['read'] })
    expect((await make({ name: 'x', scopes: ['read'] }, reader)).status).toBe(403)
  })

  test('never see more than their maker: one of a project makes and sees those of that project', async () => {
    const project = (await addProject(api, 'tokens')) as ProjectId
    const other = await addProject(api, 'other tokens')
    const token = await addToken({ database }, { project })
    const own = await make({ name: 'own', scopes: ['read'] }, token)
    expect(dataOf(own)['project_id']).toBe(project)
    expect((await make({ name: 'own', scopes: ['read'], project_id: project }, token)).status).toBe(
      201,
    )
    const wider = await make({ name: 'wider', scopes: ['read'], project_id: other }, token)
    expect([wider.status, errorOf(wider).details['resource']]).toEqual([404, 'project'])
    const rows = rowsOf(await api.call('GET', '/v1/tokens', { token }))
    expect(new Set(rows.map((row) => row['project_id']))).toEqual(new Set([project]))
    const outside = dataOf(await make({ name: 'outside', scopes: ['read'] }))
    const hidden = await api.call('DELETE', `/v1/tokens/${String(outside['id'])}`, { token })
    expect(hidden.status).toBe(404)
    const narrowed = await make({ name: 'narrow', scopes: ['read'], project_id: other })
    expect(dataOf(narrowed)['project_id']).toBe(other)
    const unknown = await make({ name: 'narrow', scopes: ['read'], project_id: newId() })
    expect(unknown.status).toBe(404)
  })

  test('never last longer than their maker', async () => {
    const token = await addToken({ database }, { expires: new Date(Date.now() + 3_600_000) })
    const inherited = await make({ name: 'a', scopes: ['read'] }, token)
    expect(Math.abs(inSeconds(dataOf(inherited)['expires_at']) - 3600)).toBeLessThan(60)
    const shorter = await make({ name: 'a', scopes: ['read'], expires_in: '10m' }, token)
    expect(Math.abs(inSeconds(dataOf(shorter)['expires_at']) - 600)).toBeLessThan(60)
    const longer = await make({ name: 'a', scopes: ['read'], expires_in: 'P1D' }, token)
    expect([longer.status, errorOf(longer).details['field']]).toEqual([400, 'expires_in'])
  })

  test('end when they are told to', async () => {
    const at = new Date(Date.now() + 86_400_000).toISOString()
    const made = dataOf(await make({ name: 'dated', scopes: ['read'], expires_at: at }))
    expect(made['expires_at']).toBe(at)
    for (const [field, body] of [
      ['expires_at', { expires_at: '2001-01-01T00:00:00Z' }],
      ['expires_at', { expires_at: '2030-02-30' }],
      ['expires_at', { expires_at: '9999-01-01' }],
      ['expires_at', { expires_at: at, expires_in: '1h' }],
      ['expires_in', { expires_in: '59s' }],
      ['scopes', { scopes: [] }],
      ['scopes.0', { scopes: ['root'] }],
      ['colour', { colour: 'red' }],
    ] as const) {
      const answer = await make({ name: 'x', scopes: ['read'], ...body })
      expect([answer.status, errorOf(answer).details['field']]).toEqual([400, field])
    }
  })
})

describe('projects', () => {
  test('come, change their name, and go when nothing is in them', async () => {
    const made = await api.call('POST', '/v1/projects', { body: { name: 'shop' } })
    expect(made.status).toBe(201)
    const path = `/v1/projects/${String(dataOf(made)['id'])}`
    expect(dataOf(await api.call('GET', path))).toMatchObject({ name: 'shop', servers: 0 })
    const renamed = await api.call('PATCH', path, { body: { name: 'store' } })
    expect(dataOf(renamed)['name']).toBe('store')
    expect(dataOf(await api.call('PATCH', path, { body: {} }))['name']).toBe('store')
    const again = await api.call('POST', '/v1/projects', { body: { name: 'store' } })
    expect([again.status, errorOf(again).code]).toEqual([409, 'CONFLICT'])
    expect(rowsOf(await api.call('GET', '/v1/projects?name=store'))).toHaveLength(1)
    expect((await api.call('DELETE', path)).status).toBe(204)
    for (const method of ['GET', 'PATCH', 'DELETE'] as const)
      expect((await api.call(method, path, { body: {} })).status).toBe(404)
    expect((await api.call('POST', '/v1/projects', { body: { name: 'store' } })).status).toBe(201)
  })

  test('stay while servers are in them, and say which', async () => {
    const project = await addProject(api, 'full')
    const server = await addServer(api, 'in the full one', { project_id: project })
    const refused = await api.call('DELETE', `/v1/projects/${project}`)
    expect([refused.status, errorOf(refused).code]).toEqual([409, 'RESOURCE_HAS_DEPENDENCIES'])
    expect(errorOf(refused).details).toMatchObject({ servers_count: 1, servers_ids: [server] })
    expect(dataOf(await api.call('GET', `/v1/projects/${project}`))['servers']).toBe(1)
  })

  test('take their tokens with them', async () => {
    const project = (await addProject(api, 'closed')) as ProjectId
    const token = await addToken({ database }, { project })
    expect((await api.call('GET', '/v1/me', { token })).status).toBe(200)
    expect((await api.call('DELETE', `/v1/projects/${project}`)).status).toBe(204)
    expect((await api.call('GET', '/v1/me', { token })).status).toBe(401)
  })

  test('a token of one sees that one, and makes and removes none', async () => {
    const project = (await addProject(api, 'mine')) as ProjectId
    const other = await addProject(api, 'not mine')
    const token = await addToken({ database }, { project })
    const rows = rowsOf(await api.call('GET', '/v1/projects', { token }))
    expect(rows.map((row) => row['id'])).toEqual([project])
    expect((await api.call('GET', `/v1/projects/${other}`, { token })).status).toBe(404)
    const patch = await api.call('PATCH', `/v1/projects/${other}`, { token, body: { name: 'x' } })
    expect(patch.status).toBe(404)
    const made = await api.call('POST', '/v1/projects', { token, body: { name: 'x' } })
    expect([made.status, errorOf(made).code]).toEqual([403, 'PERMISSION_DENIED'])
    expect((await api.call('DELETE', `/v1/projects/${project}`, { token })).status).toBe(403)
  })
})
