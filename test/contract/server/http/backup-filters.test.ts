import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { BackupId, ProjectId } from '#shared/ids.ts'
import { dataOf, errorOf, metaOf, rowsOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addJob, addProject, addToken, newId } from '../../../support/http-objects.ts'

const { database, api } = apiForFile()

const start = async (job: string, body: object = {}) =>
  api.call('POST', `/v1/jobs/${job}/backups`, { body })

const startOne = async (job: string, body: object = {}): Promise<BackupId> => {
  const answer = await start(job, body)
  if (answer.status !== 202) throw new Error(JSON.stringify(answer.body))
  return dataOf(answer)['id'] as BackupId
}

const show = async (id: string) => dataOf(await api.call('GET', `/v1/backups/${id}`))

const set = async (id: BackupId, columns: Record<string, unknown>): Promise<void> => {
  await database.db.updateTable('backups').set(columns).where('id', '=', id).execute()
}

const OVER = { status: 'failed', completed_at: sql`hf_now()` }

describe('the lists of backups', () => {
  test('filter by everything that they say they filter by', async () => {
    const project = (await addProject(api, 'listed')) as ProjectId
    const here = await addJob(api, 'here', { project_id: project, environment: 'staging' })
    const there = await addJob(api, 'there')
    const one = await startOne(here.job, {
      name: 'Alpha 100%_done',
      description: 'Größe',
      tags: ['weekly'],
      external_id: 'ticket-7',
    })
    await set(one, {
      ...OVER,
      bytes_source: 1000,
      created_at: new Date('2026-03-01T00:00:00Z'),
      started_at: new Date('2026-03-02T00:00:00Z'),
      completed_at: new Date('2026-03-03T00:00:00Z'),
    })
    const two = await startOne(here.job, { version: 1 })
    await set(two, { bytes_source: 500, created_at: new Date('2026-03-05T00:00:00Z') })
    const other = await startOne(there.job)
    await set(other, { created_at: new Date('2026-03-06T00:00:00Z') })
    const all = [other, two, one]
    const until = 'created_before=2026-03-07&created_after=2026-03-01'
    for (const [query, expected] of [
      ['', all],
      [`job_id=${here.job}`, [two, one]],
      [`job_id=${here.job}&job_version=1`, [two, one]],
      [`job_id=${here.job}&job_version=2`, []],
      [`server_id=${there.server}`, [other]],
      [`project_id=${project}`, [two, one]],
      ['environment=staging', [two, one]],
      ['environment=production', [other]],
      ['status=failed', [one]],
      ['tag=weekly', [one]],
      ['tag=manual', [other, two]],
      ['trigger=manual', all],
      ['trigger=scheduled', []],
      ['external_id=ticket-7', [one]],
      ['search=alpha', [one]],
      ['search=PHA%20100%25_d', [one]],
      ['search=100_', []],
      [`search=${encodeURIComponent('größe')}`, [one]],
      ['search=%25', [one]],
      ['created_after=2026-03-05T00:00:00Z', [other, two]],
      ['created_before=2026-03-05T00:00:00.000Z', [one]],
      ['started_since=2026-03-02T00:00:00Z&status=failed', [one]],
      ['started_since=2026-03-02T00:00:01Z', []],
      ['completed_since=2026-03-03T00:00:00Z&status=failed', [one]],
      ['completed_since=2026-03-03T00:00:01Z', []],
      [`project_id=${project}&environment=staging&status=pending&tag=manual`, [two]],
    ] as const) {
      const isBounded = !query.includes('created_')
      const bounds = isBounded ? `${until}&` : ''
      const answer = await api.call('GET', `/v1/backups?limit=100&${bounds}${query}`)
      const found = rowsOf(answer).map((row) => row['id'])
      const isOwn = (id: unknown): boolean => all.includes(id as BackupId)
      expect([query, found.filter(isOwn)]).toEqual([query, expected])
      if (isBounded) expect(metaOf(answer)['total']).toBe(expected.length)
    }
    const own = await api.call('GET', `/v1/jobs/${here.job}/backups?sort=size_bytes`)
    expect(rowsOf(own).map((row) => row['id'])).toEqual([two, one])
    expect(metaOf(own)).toMatchObject({ total: 2, total_bytes: 1500 })
    const failed = await api.call('GET', `/v1/projects/${project}/backups?status=failed`)
    expect(rowsOf(failed).map((row) => row['id'])).toEqual([one])
    expect(metaOf(failed)).toMatchObject({ total: 1, total_bytes: 1000 })
    const none = await api.call('GET', `/v1/projects/${project}/backups?environment=production`)
    expect(metaOf(none)).toMatchObject({ total: 0, total_bytes: 0 })
    for (const path of ['jobs', 'projects'])
      expect((await api.call('GET', `/v1/${path}/${newId()}/backups`)).status).toBe(404)
  })

  test.each([
    ['tag', 'tag=nightly'],
    ['created_after', 'created_after=yesterday!'],
    ['started_since', 'started_since=2026-02-30T00:00:00Z'],
    ['job_version', 'job_version=0'],
    ['search', 'search='],
    ['pinned', 'pinned=true'],
    ['owner', 'owner=me'],
  ])('refuse what they do not filter by: %s', async (field, query) => {
    const refused = await api.call('GET', `/v1/backups?${query}`)
    expect([refused.status, errorOf(refused).details['field']]).toEqual([400, field])
  })

  test('of a job that is gone are those of everything', async () => {
    const { job } = await addJob(api, 'gone')
    const id = await startOne(job)
    await set(id, OVER)
    expect((await api.call('DELETE', `/v1/jobs/${job}`)).status).toBe(204)
    expect(rowsOf(await api.call('GET', `/v1/backups?job_id=${job}`))).toHaveLength(1)
    expect((await show(id))['job_name']).toBe('gone')
    expect((await api.call('GET', `/v1/jobs/${job}/backups`)).status).toBe(404)
  })

  test('belong to a project as far as its servers do', async () => {
    const project = (await addProject(api, 'apart')) as ProjectId
    const token = await addToken({ database }, { project })
    const inside = await addJob(api, 'inside', { project_id: project })
    const outside = await addJob(api, 'outside')
    const own = await startOne(inside.job)
    const foreign = await startOne(outside.job)
    const rows = rowsOf(await api.call('GET', '/v1/backups', { token }))
    expect(rows.map((row) => row['id'])).toEqual([own])
    const hidden = await api.call('GET', `/v1/backups?job_id=${outside.job}`, { token })
    expect(metaOf(hidden)).toMatchObject({ total: 0, total_bytes: 0 })
    for (const [method, path] of [
      ['GET', ''],
      ['GET', '/progress'],
      ['PATCH', ''],
      ['PUT', ''],
      ['POST', '/cancel'],
    ] as const) {
      const body = method === 'GET' ? undefined : {}
      const url = (id: string): string => `/v1/backups/${id}${path}`
      const refused = await api.call(method, url(foreign), { token, body })
      expect([method, path, refused.status]).toEqual([method, path, 404])
      expect((await api.call(method, url(own), { token, body })).status).toBe(200)
    }
    expect((await show(foreign))['status']).toBe('pending')
    expect((await api.call('GET', `/v1/jobs/${outside.job}/backups`, { token })).status).toBe(404)
    const begun = await api.call('POST', `/v1/jobs/${outside.job}/backups`, { token })
    expect(begun.status).toBe(404)
  })
})
