import { describe, expect, test } from 'vitest'
import { parseIdentity } from '#shared/format/keys.ts'
import type { ProjectId } from '#shared/ids.ts'
import { dataOf, errorOf, rowsOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import {
  added,
  addJob,
  addProject,
  addServer,
  addToken,
  newId,
  parts,
} from '../../../support/http-objects.ts'

const { database, api } = apiForFile()

const deedsOf = async (subject: string): Promise<unknown[]> => {
  const rows = await database.db
    .selectFrom('audit_log')
    .where('subject_id', '=', subject)
    .orderBy('id')
    .select('action')
    .execute()
  return rows.map(({ action }) => action)
}

describe('a server', () => {
  test('changes its name, project, environment and labels, each apart', async () => {
    const project = await addProject(api, 'moving')
    const id = await addServer(api, 'before', { labels: { a: '1', b: '2' } })
    const change = async (body: object) => api.call('PATCH', `/v1/servers/${id}`, { body })
    expect(dataOf(await change({ name: 'after' }))).toMatchObject({
      name: 'after',
      environment: 'production',
      project_id: null,
      labels: { a: '1', b: '2' },
      revoked_at: null,
    })
    const moved = dataOf(await change({ project_id: project, environment: 'staging' }))
    expect(moved).toMatchObject({ name: 'after', project_id: project, environment: 'staging' })
    expect(rowsOf(await api.call('GET', `/v1/servers?project_id=${project}`))).toHaveLength(1)
    expect(dataOf(await change({ labels: { c: '3' } }))['labels']).toEqual({ c: '3' })
    expect(dataOf(await change({ project_id: null }))['project_id']).toBeNull()
    expect(dataOf(await change({}))).toMatchObject({ name: 'after', labels: { c: '3' } })
    await addServer(api, 'taken')
    for (const [expected, body] of [
      [[409, 'name'], { name: 'taken' }],
      [[400, 'type'], { type: 'ssh' }],
      [[400, 'status'], { status: 'online' }],
      [[400, 'environment'], { environment: 'moon' }],
    ] as const) {
      const refused = await change(body)
      expect([refused.status, errorOf(refused).details['field']]).toEqual(expected)
    }
    const nowhere = await change({ project_id: newId() })
    expect([nowhere.status, errorOf(nowhere).details['resource']]).toEqual([404, 'project'])
  })

  test('of type "ssh" is refused by name', async () => {
    const body = { name: 'by ssh', type: 'ssh', host: 'example.com' }
    const refused = await api.call('POST', '/v1/servers', { body })
    expect(refused.status).toBe(400)
    expect(['type', 'host']).toContain(errorOf(refused).details['field'])
    const only = await api.call('POST', '/v1/servers', { body: { name: 'by ssh', type: 'ssh' } })
    expect([only.status, errorOf(only).details['field']]).toEqual([400, 'type'])
  })

  test('goes when it has no jobs, and its name is free again', async () => {
    const { job, server } = await addJob(api, 'kept')
    const path = `/v1/servers/${server}`
    const refused = await api.call('DELETE', path)
    expect([refused.status, errorOf(refused).code]).toEqual([409, 'RESOURCE_HAS_DEPENDENCIES'])
    expect(errorOf(refused).details).toMatchObject({ jobs_count: 1, jobs_ids: [job] })
    expect((await api.call('DELETE', `/v1/jobs/${job}`)).status).toBe(204)
    expect((await api.call('DELETE', path)).status).toBe(204)
    for (const [method, below] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['POST', '/revoke'],
      ['POST', '/enrollment-tokens'],
    ] as const) {
      const body = method === 'GET' ? undefined : {}
      const answer = await api.call(method, `${path}${below}`, { body })
      expect([method, below, answer.status]).toEqual([method, below, 404])
    }
    expect(await deedsOf(server)).toEqual(['server.removed'])
    await addServer(api, 'server of kept')
  })

  test('is revoked with every enrolment token of before', async () => {
    const id = await addServer(api, 'revoked')
    const path = `/v1/servers/${id}`
    await api.call('POST', `${path}/enrollment-tokens`, { body: {} })
    const revoked = await api.call('POST', `${path}/revoke`)
    expect(revoked.status).toBe(200)
    expect(dataOf(revoked)['revoked_at']).not.toBeNull()
    const open = await database.db
      .selectFrom('enrollment_tokens')
      .where('server_id', '=', id as never)
      .where('used_at', 'is', null)
      .select('id')
      .execute()
    expect(open).toEqual([])
    expect((await api.call('POST', `${path}/enrollment-tokens`, { body: {} })).status).toBe(201)
    expect(rowsOf(await api.call('GET', '/v1/servers?name=revoked'))).toHaveLength(1)
    expect(await deedsOf(id)).toEqual(['server.revoked'])
  })

  test('belongs to its project: a token of another does not reach it, and takes none out', async () => {
    const project = (await addProject(api, 'of servers')) as ProjectId
    const other = await addProject(api, 'of other servers')
    const token = await addToken({ database }, { project })
    const own = await addServer(api, 'own', { project_id: project })
    const foreign = await addServer(api, 'foreign', { project_id: other })
    for (const [method, below] of [
      ['GET', ''],
      ['PATCH', ''],
      ['POST', '/enrollment-tokens'],
      ['POST', '/revoke'],
      ['DELETE', ''],
    ] as const) {
      const body = method === 'GET' ? undefined : {}
      const url = (id: string): string => `/v1/servers/${id}${below}`
      const refused = await api.call(method, url(foreign), { token, body })
      expect([method, below, refused.status]).toEqual([method, below, 404])
      if (method !== 'DELETE') {
        const answer = await api.call(method, url(own), { token, body })
        expect([method, below, answer.status < 300]).toEqual([method, below, true])
      }
    }
    for (const [status, project_id] of [
      [404, other],
      [403, null],
      [200, project],
    ] as const) {
      const path = `/v1/servers/${own}`
      const moved = await api.call('PATCH', path, { token, body: { project_id } })
      expect([project_id, moved.status]).toEqual([project_id, status])
    }
    const made = await api.call('POST', '/v1/servers', {
      token,
      body: { name: 'abroad', type: 'agent', project_id: other },
    })
    expect([made.status, errorOf(made).details['resource']]).toEqual([404, 'project'])
    const elsewhere = await api.call('GET', `/v1/servers?project_id=${other}`, { token })
    expect(rowsOf(elsewhere)).toEqual([])
    expect(dataOf(await api.call('GET', `/v1/servers/${foreign}`))['revoked_at']).toBeNull()
  })
})

describe('an encryption key', () => {
  const addKey = async (name: string, more: object = { type: 'managed' }): Promise<string> =>
    added(api, '/v1/encryption-keys', { name, ...more })

  test('is exported to whoever may, and each time is in the audit log', async () => {
    const id = await addKey('exported')
    const path = `/v1/encryption-keys/${id}`
    const token = await addToken({ database }, { scopes: ['read', 'admin'] })
    expect((await api.call('POST', `${path}/export`, { token })).status).toBe(403)
    expect(await deedsOf(id)).toEqual([])
    const exported = await api.call('POST', `${path}/export`)
    expect(exported.status).toBe(200)
    expect(exported.headers['cache-control']).toBe('no-store')
    const { identity, recipient } = dataOf(exported)
    expect(parseIdentity(String(identity)).recipient.text).toBe(recipient)
    expect(dataOf(await api.call('GET', path))).toMatchObject({ name: 'exported', recipient })
    expect(JSON.stringify((await api.call('GET', path)).body)).not.toContain(identity)
    expect(await deedsOf(id)).toEqual(['encryption-key.exported'])
    const log = await database.sql.unsafe<{ row: string }[]>(
      'select row_to_json(a)::text as row from audit_log a',
    )
    expect(log.map(({ row }) => row).join()).not.toContain('AGE-SECRET-KEY')
  })

  test('of a customer is with the customer, so it cannot be exported', async () => {
    const recipient = parseIdentity(api.kit.identity).recipient.text
    const id = await addKey("a customer's", { type: 'customer', recipient })
    const refused = await api.call('POST', `/v1/encryption-keys/${id}/export`)
    expect([refused.status, errorOf(refused).code]).toEqual([409, 'KEY_REQUIRED'])
    expect(await deedsOf(id)).toEqual([])
  })

  test('goes while nothing is encrypted to it, with its identity', async () => {
    const id = await addKey('going')
    const path = `/v1/encryption-keys/${id}`
    const server = await addServer(api, 'of the key')
    const pair = { storage_id: (await parts(api)).storage_id, encryption_key_id: id }
    const sources = [{ type: 'files', paths: ['/'] }]
    const job = await added(api, '/v1/jobs', { name: 'of it', server_id: server, ...pair, sources })
    const needed = await api.call('DELETE', path)
    expect([needed.status, errorOf(needed).code]).toEqual([409, 'RESOURCE_HAS_DEPENDENCIES'])
    expect(errorOf(needed).details).toMatchObject({ jobs_count: 1, jobs_ids: [job] })
    await api.call('DELETE', `/v1/jobs/${job}`)
    expect((await api.call('DELETE', path)).status).toBe(204)
    for (const [method, below] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/export'],
    ] as const)
      expect((await api.call(method, `${path}${below}`)).status).toBe(404)
    const row = await database.db
      .selectFrom('encryption_keys')
      .where('id', '=', id as never)
      .select('sealed_identity')
      .executeTakeFirstOrThrow()
    expect(row.sealed_identity).toBeNull()
    expect(await deedsOf(id)).toEqual(['encryption-key.removed'])
    const again = await addKey('going')
    const vaults = [{ ...pair, encryption_key_id: again }]
    await api.call('POST', `/v1/servers/${server}/enrollment-tokens`, { body: { vaults } })
    const kept = await api.call('DELETE', `/v1/encryption-keys/${again}`)
    expect(errorOf(kept).details).toMatchObject({ vaults_count: 1 })
  })

  test('is not for a token of a project to make, export or remove', async () => {
    const project = (await addProject(api, 'of keys')) as ProjectId
    const token = await addToken({ database }, { project })
    const id = await addKey('of all')
    expect((await api.call('GET', `/v1/encryption-keys/${id}`, { token })).status).toBe(200)
    for (const [method, path, body] of [
      ['POST', '/v1/encryption-keys', { name: 'x', type: 'managed' }],
      ['DELETE', `/v1/encryption-keys/${id}`, undefined],
      ['POST', `/v1/encryption-keys/${id}/export`, undefined],
    ] as const) {
      const refused = await api.call(method, path, { token, body })
      expect([method, path, refused.status]).toEqual([method, path, 403])
    }
  })
})
