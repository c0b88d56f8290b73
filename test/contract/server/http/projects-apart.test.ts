import { sql } from 'kysely'
import { beforeAll, describe, expect, test } from 'vitest'
import type { ProjectId } from '#shared/ids.ts'
import { dataOf, rowsOf } from '../../../support/answers.ts'
import { type Method } from '../../../support/http-app.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addJob, addProject, addServer, addToken, newId } from '../../../support/http-objects.ts'

/** Every kind of object of one project, by the first part of its path. */
type Ids = Readonly<Record<string, string>>

const { database, api } = apiForFile()
let token: string
let own: Ids
let foreign: Ids

const objectsOf = async (project: string): Promise<Ids> => {
  const { job, server } = await addJob(api, `of ${project}`, { project_id: project })
  const started = dataOf(await api.call('POST', `/v1/jobs/${job}/backups`))
  const backup = String(started['id'])
  const made = await api.call('POST', '/v1/tokens', {
    body: { name: 't', scopes: ['read'], project_id: project },
  })
  const [vault, restore] = [newId(), newId()]
  const { db } = database
  await sql`
    insert into vaults (id, org_id, server_id, storage_id, encryption_key_id, list_recipient, sealed_list_identity, recipients)
    select ${vault}, org_id, server_id, storage_id, encryption_key_id, 'x', ''::bytea, '{}' from jobs where id = ${job}`.execute(
    db,
  )
  await sql`
    insert into restores (id, org_id, backup_id, job_id, vault_id, server_id, conflict, places, gc_floor)
    select ${restore}, org_id, ${backup}, id, ${vault}, server_id, 'overwrite', '{/}', 0 from jobs where id = ${job}`.execute(
    db,
  )
  return {
    projects: project,
    servers: server,
    jobs: job,
    backups: backup,
    tokens: String(dataOf(made)['id']),
    restores: restore,
  }
}

const openRequestOf = async (backup: string): Promise<string> => {
  const id = newId()
  await sql`
    insert into open_requests (id, org_id, purpose, backup_id, vault_id, token_id, opener_name, opener_key, pack_count,
      packs_sha256, requested_by, expires_at)
    select ${id}, r.org_id, 'download', r.backup_id, r.vault_id, t.id, 'o', ${Buffer.alloc(32, 1)}, 0,
      ${Buffer.alloc(32, 1)}, '{"name": "o"}', hf_now() + interval '1 day'
    from restores r join tokens t on t.name = 'local' where r.backup_id = ${backup}`.execute(
    database.db,
  )
  return id
}

beforeAll(async () => {
  const [mine, other] = [await addProject(api, 'mine'), await addProject(api, 'other')]
  own = await objectsOf(mine)
  const objects = await objectsOf(other)
  foreign = { ...objects, 'open-requests': await openRequestOf(objects['backups']!) }
  token = await addToken({ database }, { project: mine as ProjectId })
})

/** What belongs to the whole organization: seen by all, and changed by none of a project. */
const OF_ALL = ['storages', 'encryption-keys', 'organization']

/** Bodies without which a request would be refused before anybody looks for the object. */
const BODIES: Readonly<Record<string, object>> = {
  'POST /v1/backups/:id/verify': { level: 'restore' },
  'POST /v1/open-requests/:id/approve': { sealed_file_keys: {}, sealed_id_key: 'A'.repeat(108) },
}

const kindOf = (path: string): string => path.split('/')[2] ?? ''

const withId = (): readonly (readonly [Method, string])[] =>
  api.routes
    .filter(([, path]) => path.includes('/:id') && !OF_ALL.includes(kindOf(path)))
    .map(([method, path]) => [method as Method, path] as const)

const call = async (method: Method, path: string, ids: Ids) =>
  api.call(method, path.replace(':id', ids[kindOf(path)] ?? newId()).replace(/:\w+/, 'f_Lw'), {
    token,
    ...(method === 'GET' ? {} : { body: BODIES[`${method} ${path}`] ?? {} }),
  })

describe('a token of one project', () => {
  test('finds nothing of another one, whatever route it tries', async () => {
    const wrong: unknown[] = []
    for (const [method, path] of withId()) {
      const answer = await call(method, path, foreign)
      // Removing a project is for tokens of the organization only.
      const isRefused = answer.status === 403 && path === '/v1/projects/:id'
      if (answer.status !== 404 && !isRefused) wrong.push([method, path, answer.body])
    }
    expect(wrong).toEqual([])
    expect(withId().length).toBeGreaterThan(25)
  })

  test('finds its own there, so that what it does not find is not missing for another reason', async () => {
    for (const kind of Object.keys(own)) {
      if (kind === 'tokens') continue
      const answer = await api.call('GET', `/v1/${kind}/${own[kind]}`, { token })
      expect([kind, answer.status]).toEqual([kind, 200])
      expect((await api.call('GET', `/v1/${kind}/${foreign[kind]}`)).status).toBe(200)
    }
  })

  test('lists its own and no other', async () => {
    for (const kind of Object.keys(own)) {
      const rows = rowsOf(await api.call('GET', `/v1/${kind}?limit=100`, { token }))
      const ids = rows.map((row) => row['id'])
      expect([kind, ids.includes(own[kind]), ids.includes(foreign[kind])]).toEqual([
        kind,
        true,
        false,
      ])
      const all = rowsOf(await api.call('GET', `/v1/${kind}?limit=100`))
      expect(all.map((row) => row['id'])).toContain(foreign[kind])
    }
  })

  test('sees no open request of another one', async () => {
    const path = '/v1/open-requests'
    expect(rowsOf(await api.call('GET', path))).toMatchObject([{ id: foreign['open-requests'] }])
    const answer = await api.call('GET', path, { token })
    expect([answer.status, rowsOf(answer)]).toEqual([200, []])
  })

  test('changes nothing that belongs to all', async () => {
    const writes = api.routes.filter(
      ([method, path]) => method !== 'GET' && OF_ALL.includes(kindOf(path)),
    )
    expect(writes.length).toBeGreaterThan(7)
    const bodies: Readonly<Record<string, object>> = {
      '/v1/encryption-keys': { name: 'x', type: 'managed' },
      '/v1/storages': {
        name: 'x',
        provider: 'x',
        endpoint: 'http://127.0.0.1:9',
        region: 'x',
        bucket: 'xxx',
        access_key_id: 'x',
        secret_access_key: 'x',
      },
    }
    for (const [method, path] of writes) {
      const answer = await api.call(method as Method, path.replace(':id', newId()), {
        token,
        body: bodies[path] ?? {},
      })
      expect([method, path, answer.status]).toEqual([method, path, 403])
    }
  })

  test('starts nothing of another one by its body either', async () => {
    const server = await addServer(api, 'unused')
    const job = dataOf(await api.call('GET', `/v1/jobs/${own['jobs']!}`))
    const body = {
      name: 'x',
      server_id: server,
      storage_id: job['storage_id'],
      encryption_key_id: job['encryption_key_id'],
      sources: [{ type: 'files', paths: ['/'] }],
    }
    expect((await api.call('POST', '/v1/jobs', { token, body })).status).toBe(404)
    const restore = await api.call('POST', `/v1/backups/${own['backups']!}/restore`, {
      token,
      body: { compute: { type: 'agent', server_id: foreign['servers'] }, conflict: 'overwrite' },
    })
    expect(restore.status).toBeGreaterThanOrEqual(400)
    const asked = await api.call('POST', '/v1/open-requests', {
      token,
      body: {
        purpose: 'download',
        backup_id: foreign['backups'],
        opener_key: 'A'.repeat(43),
      },
    })
    expect(asked.status).toBe(404)
  })
})
