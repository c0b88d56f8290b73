import { describe, expect, test } from 'vitest'
import type { ProjectId } from '#shared/ids.ts'
import { dataOf, errorOf, metaOf, rowsOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { added, addJob, addProject, addToken, newId } from '../../../support/http-objects.ts'

const { database, api } = apiForFile()

const patch = async (job: string, body: object) => api.call('PATCH', `/v1/jobs/${job}`, { body })

const versions = async (job: string, query = '') =>
  api.call('GET', `/v1/jobs/${job}/versions${query}`)

const sources = [{ type: 'files', paths: ['/srv', '/home'] }]

describe('a job that changes', () => {
  test('gets a new version each time, and the ones before stay as they were', async () => {
    const { job, server } = await addJob(api, 'changing')
    const key = await added(api, '/v1/encryption-keys', { name: 'second', type: 'managed' })
    const first = dataOf(await api.call('GET', `/v1/jobs/${job}`))
    const second = dataOf(await patch(job, { sources }))
    expect(second).toMatchObject({
      ...first,
      version: 2,
      sources,
      updated_at: second['updated_at'],
    })
    const third = dataOf(
      await patch(job, {
        name: 'changed',
        encryption_key_id: key,
        external_id: 'x',
        timeout: '90m',
      }),
    )
    expect(third).toMatchObject({
      version: 3,
      name: 'changed',
      server_id: server,
      storage_id: first['storage_id'],
      encryption_key_id: key,
      external_id: 'x',
      timeout: 'PT1H30M',
      sources,
    })
    const list = await versions(job)
    expect(rowsOf(list)).toMatchObject([
      { version: 3, name: 'changed', encryption_key_id: key, timeout: 'PT1H30M', sources },
      { version: 2, name: 'changing', timeout: null, sources },
      {
        version: 1,
        name: 'changing',
        encryption_key_id: first['encryption_key_id'],
        sources: first['sources'],
        created_by: { name: 'local' },
      },
    ])
    const cleared = dataOf(await patch(job, { external_id: null, timeout: null }))
    expect(cleared).toMatchObject({ version: 4, external_id: null, timeout: null })
  })

  test('by nothing, or to what it is, gets none', async () => {
    const { job } = await addJob(api, 'unchanged')
    const now = dataOf(await api.call('GET', `/v1/jobs/${job}`))
    const { name, sources: same, storage_id, external_id, timeout } = now
    for (const body of [{}, { name }, { sources: same, storage_id, external_id, timeout }]) {
      expect(dataOf(await patch(job, body))).toEqual(now)
    }
    expect(metaOf(await versions(job))['total']).toBe(1)
  })

  test('by ten at once gets ten versions', async () => {
    const { job } = await addJob(api, 'raced')
    await Promise.all(
      Array.from({ length: 10 }, async (_, n) => patch(job, { external_id: `n ${n}` })),
    )
    expect(dataOf(await api.call('GET', `/v1/jobs/${job}`))['version']).toBe(11)
    const seen: unknown[] = []
    let cursor: string | null = null
    do {
      const query = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
      const page = await versions(job, `?limit=4${query}`)
      seen.push(...rowsOf(page).map((row) => row['version']))
      cursor = metaOf(page)['next_cursor'] as string | null
    } while (cursor !== null)
    expect(seen).toEqual([11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
  })

  test('says what its sources leave out, and the run is told so', async () => {
    const { job } = await addJob(api, 'leaving out')
    const all = [
      {
        type: 'files',
        paths: ['/srv'],
        exclude: ['*.log', '!keep.log'],
        exclude_caches: true,
        exclude_if_present: ['.nobackup'],
        max_file_size: 1_000_000_000,
        one_file_system: true,
      },
    ]
    expect(dataOf(await patch(job, { sources: all }))).toMatchObject({ sources: all })
    const base = { type: 'files', paths: ['/srv'] }
    for (const [field, wrong] of [
      ['sources.0.max_file_size', { max_file_size: 0 }],
      ['sources.0.max_file_size', { max_file_size: 1.5 }],
      ['sources.0.exclude_if_present.0', { exclude_if_present: ['a/b'] }],
      ['sources.0.exclude_caches', { exclude_caches: 'perhaps' }],
      ['sources.0.skip_caches', { skip_caches: true }],
    ] as const) {
      const refused = await patch(job, { sources: [{ ...base, ...wrong }] })
      expect([refused.status, errorOf(refused).details['field']]).toEqual([400, field])
    }
  })

  test('does not take what it cannot have', async () => {
    const { job } = await addJob(api, 'refusing')
    await addJob(api, 'taken')
    for (const [expected, body] of [
      [[400, 'server_id'], { server_id: newId() }],
      [[400, 'schedules'], { schedules: [] }],
      [[400, 'retention'], { retention: {} }],
      [[400, 'max_retries'], { max_retries: 3 }],
      [[400, 'timeout'], { timeout: '59s' }],
      [[400, 'timeout'], { timeout: 'P31D' }],
      [[400, 'sources'], { sources: [] }],
      [[409, 'name'], { name: 'taken' }],
    ] as const) {
      const refused = await patch(job, body)
      expect([refused.status, errorOf(refused).details['field']]).toEqual(expected)
    }
    for (const [resource, body] of [
      ['storage', { storage_id: newId() }],
      ['encryption key', { encryption_key_id: newId() }],
    ] as const) {
      const refused = await patch(job, body)
      expect([refused.status, errorOf(refused).details['resource']]).toEqual([404, resource])
    }
    expect((await patch(newId(), { name: 'x' })).status).toBe(404)
    expect(metaOf(await versions(job))['total']).toBe(1)
  })
})

describe('a job that is removed', () => {
  test('is gone, with its name free; but not while a backup of it runs', async () => {
    const { job } = await addJob(api, 'going')
    const started = await api.call('POST', `/v1/jobs/${job}/backups`)
    const path = `/v1/jobs/${job}`
    const busy = await api.call('DELETE', path)
    expect([busy.status, errorOf(busy).code]).toEqual([409, 'OPERATION_IN_PROGRESS'])
    expect(errorOf(busy).details['id']).toBe(dataOf(started)['id'])
    await api.call('POST', `/v1/backups/${String(dataOf(started)['id'])}/cancel`)
    expect((await api.call('DELETE', path)).status).toBe(204)
    for (const [method, below] of [
      ['GET', ''],
      ['PATCH', ''],
      ['DELETE', ''],
      ['GET', '/versions'],
      ['GET', '/backups'],
      ['POST', '/backups'],
    ] as const) {
      const body = method === 'GET' ? undefined : {}
      const answer = await api.call(method, `${path}${below}`, { body })
      expect([method, below, answer.status]).toEqual([method, below, 404])
    }
    expect(rowsOf(await api.call('GET', '/v1/jobs?name=going'))).toEqual([])
    const deed = await database.db
      .selectFrom('audit_log')
      .where('action', '=', 'job.removed')
      .select(['subject_id', 'details'])
      .execute()
    expect(deed).toMatchObject([{ subject_id: job, details: { name: 'going' } }])
  })

  test('and started at once is either removed or started, never both', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { job } = await addJob(api, `torn ${round}`)
      const [removed, started] = await Promise.all([
        api.call('DELETE', `/v1/jobs/${job}`),
        api.call('POST', `/v1/jobs/${job}/backups`),
      ])
      expect([
        [204, 404],
        [409, 202],
      ]).toContainEqual([removed.status, started.status])
    }
  })

  test('or changed by a token of another project is not there', async () => {
    const project = (await addProject(api, 'jobs')) as ProjectId
    const token = await addToken({ database }, { project })
    const own = await addJob(api, 'own', { project_id: project })
    const other = await addJob(api, 'foreign')
    for (const [method, below, status] of [
      ['GET', '', 200],
      ['PATCH', '', 200],
      ['GET', '/versions', 200],
      ['GET', '/backups', 200],
      ['DELETE', '', 204],
    ] as const) {
      const body = method === 'GET' ? undefined : {}
      const foreign = await api.call(method, `/v1/jobs/${other.job}${below}`, { token, body })
      expect([method, below, foreign.status]).toEqual([method, below, 404])
      const mine = await api.call(method, `/v1/jobs/${own.job}${below}`, { token, body })
      expect([method, below, mine.status]).toEqual([method, below, status])
    }
    const job = dataOf(await api.call('GET', `/v1/jobs/${other.job}`))
    const elsewhere = await api.call('POST', '/v1/jobs', {
      token,
      body: {
        name: 'elsewhere',
        server_id: other.server,
        storage_id: job['storage_id'],
        encryption_key_id: job['encryption_key_id'],
        sources,
      },
    })
    expect([elsewhere.status, errorOf(elsewhere).details['resource']]).toEqual([404, 'server'])
  })
})
