import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import type { Link } from '#server/ports.ts'
import type { BackupId } from '#shared/ids.ts'
import type { Order } from '#shared/protocol/orders.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addJob, newId } from '../../../support/http-objects.ts'

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

describe('a backup that is started', () => {
  test('has the tags that were asked for, else that it was started by hand', async () => {
    const none = { hourly: false, daily: false, weekly: false, monthly: false, yearly: false }
    const { job } = await addJob(api, 'tagged')
    const first = await startOne(job)
    expect((await show(first))['tags']).toEqual({ ...none, manual: true })
    await set(first, OVER)
    const second = await startOne(job, { tags: ['daily', 'yearly', 'daily'] })
    expect((await show(second))['tags']).toEqual({
      ...none,
      manual: false,
      daily: true,
      yearly: true,
    })
    await set(second, OVER)
    expect((await show(await startOne(job, { tags: [] })))['tags']).toEqual({
      ...none,
      manual: false,
    })
  })

  test('has a label, which is its name too unless it has one', async () => {
    const { job } = await addJob(api, 'labelled')
    const first = await startOne(job, { label: 'before the migration' })
    expect(await show(first)).toMatchObject({
      label: 'before the migration',
      name: 'before the migration',
    })
    await set(first, OVER)
    const second = await startOne(job, { label: 'l', name: 'n', external_id: 'x' })
    expect(await show(second)).toMatchObject({ label: 'l', name: 'n', external_id: 'x' })
  })

  test('has every field that a backup can have by now', async () => {
    const { job } = await addJob(api, 'fields')
    expect(await show(await startOne(job))).toMatchObject({
      attempt: 1,
      retry_count: 0,
      pinned: false,
      pin_label: null,
      ttl: null,
      inactivity_timeout: null,
      expires_at: null,
      last_used_at: null,
      dependents: [],
      monitoring_available: true,
      operations: [{ type: 'create', status: 'in_progress' }],
    })
  })

  test('is of the version that was asked for, as it was', async () => {
    const { job } = await addJob(api, 'versioned')
    const sources = [{ type: 'files', paths: ['/srv'] }]
    await api.call('PATCH', `/v1/jobs/${job}`, { body: { sources } })
    const present = await startOne(job)
    expect((await show(present))['job_version']).toBe(2)
    await set(present, OVER)
    const older = await startOne(job, { version: 1 })
    expect((await show(older))['job_version']).toBe(1)
    await set(older, OVER)
    const missing = await start(job, { version: 3 })
    expect([missing.status, errorOf(missing).code]).toEqual([404, 'JOB_VERSION_NOT_FOUND'])
    expect(errorOf(missing).details).toMatchObject({ job_id: job, version: 3 })
  })

  test.each([
    ['tags.0', { tags: ['nightly'] }],
    ['pin', { pin: true }],
    ['ttl', { ttl: 'P7D' }],
    ['inactivity_timeout', { inactivity_timeout: 'P7D' }],
    ['version', { version: 0 }],
    ['label', { label: 'two\nlines' }],
  ])('is not started with what is not known: %s', async (field, body) => {
    const refused = await start(newId(), body)
    expect([refused.status, errorOf(refused).details['field']]).toEqual([400, field])
  })
})

describe('a backup that is there', () => {
  test('changes its name and description, and nothing else', async () => {
    const { job } = await addJob(api, 'renamed')
    const id = await startOne(job, { name: 'before', description: 'why' })
    for (const method of ['PATCH', 'PUT'] as const) {
      const path = `/v1/backups/${id}`
      const renamed = await api.call(method, path, { body: { name: `by ${method}` } })
      expect(dataOf(renamed)).toMatchObject({ name: `by ${method}`, description: 'why' })
      const refused = await api.call(method, path, { body: { status: 'completed' } })
      expect([refused.status, errorOf(refused).details['field']]).toEqual([400, 'status'])
    }
    const cleared = await api.call('PATCH', `/v1/backups/${id}`, { body: { description: '' } })
    expect(dataOf(cleared)).toMatchObject({ name: 'by PUT', description: null })
    expect(dataOf(await api.call('PUT', `/v1/backups/${id}`, { body: {} }))['name']).toBe('by PUT')
  })

  test('is canceled at once while it waits; once it is over there is nothing to cancel', async () => {
    const { job } = await addJob(api, 'canceled')
    const id = await startOne(job)
    const canceled = await api.call('POST', `/v1/backups/${id}/cancel`)
    expect(canceled.status).toBe(200)
    expect(dataOf(canceled)).toMatchObject({
      status: 'canceled',
      error: { code: 'CANCELED' },
      operations: [{ type: 'create', status: 'failed' }],
    })
    const again = await api.call('POST', `/v1/backups/${id}/cancel`)
    expect([again.status, errorOf(again).code]).toEqual([409, 'INVALID_STATE'])
    expect(errorOf(again).details['status']).toBe('canceled')
    await startOne(job)
  })

  test('waits while it is paused, and is shown so; once it is over it cannot be', async () => {
    const { job } = await addJob(api, 'paused')
    const id = await startOne(job)
    const before = dataOf(await api.call('GET', `/v1/backups/${id}/progress`))
    expect(before['paused_at']).toBeNull()
    const paused = await api.call('POST', `/v1/backups/${id}/pause`)
    expect([paused.status, dataOf(paused)['status']]).toEqual([200, 'pending'])
    const since = dataOf(paused)['paused_at']
    expect(since).toEqual(expect.any(String))
    const again = await api.call('POST', `/v1/backups/${id}/pause`)
    expect([again.status, dataOf(again)['paused_at']]).toEqual([200, since])
    expect(dataOf(await api.call('GET', `/v1/backups/${id}/progress`))['paused_at']).toBe(since)
    const resumed = await api.call('POST', `/v1/backups/${id}/resume`)
    expect([resumed.status, dataOf(resumed)['paused_at']]).toEqual([200, null])
    await api.call('POST', `/v1/backups/${id}/cancel`)
    for (const wish of ['pause', 'resume']) {
      const late = await api.call('POST', `/v1/backups/${id}/${wish}`)
      expect([late.status, errorOf(late).code]).toEqual([409, 'INVALID_STATE'])
      expect(errorOf(late).details['status']).toBe('canceled')
    }
  })

  test('is paused, resumed and canceled by its agent while it runs, which is told', async () => {
    const { job, server } = await addJob(api, 'stopped')
    const id = await startOne(job)
    const orders: Order[] = []
    const link: Link = {
      server: server as never,
      organization: api.kit.organizationId as never,
      joins: 1,
      send: (order) => orders.push(order) > 0,
      close: () => undefined,
    }
    api.agents.links.add(link)
    await set(id, {
      status: 'running',
      lease_epoch: 4,
      lease_link: 1,
      lease_until: sql`hf_now() + interval '1 minute'`,
      accepted_at: sql`hf_now()`,
      started_at: sql`hf_now()`,
      deadline: sql`hf_now() + interval '1 hour'`,
    })
    for (const wish of ['pause', 'pause', 'resume', 'resume'])
      expect((await api.call('POST', `/v1/backups/${id}/${wish}`)).status).toBe(200)
    expect(orders.splice(0)).toMatchObject([
      { type: 'backup.pause', run: id, epoch: 4 },
      { type: 'backup.resume', run: id, epoch: 4 },
    ])
    const asked = await api.call('POST', `/v1/backups/${id}/cancel`)
    expect([asked.status, dataOf(asked)['status']]).toEqual([202, 'running'])
    expect(orders).toMatchObject([{ type: 'backup.cancel', run: id, epoch: 4 }])
    const row = await database.db
      .selectFrom('backups')
      .where('id', '=', id)
      .select('cancel_requested_at')
      .executeTakeFirstOrThrow()
    expect(row.cancel_requested_at).not.toBeNull()
    const late = await api.call('POST', `/v1/backups/${id}/pause`)
    expect([late.status, errorOf(late).details['status']]).toEqual([409, 'about to be canceled'])
    api.agents.links.remove(link)
  })

  test('of which a restore runs says so', async () => {
    const { job, server } = await addJob(api, 'restored')
    const id = await startOne(job)
    const restore = newId<'restore'>()
    await sql`
      with vault as (
        insert into vaults (id, org_id, server_id, storage_id, encryption_key_id, list_recipient, sealed_list_identity, recipients)
        select ${newId()}::uuid, j.org_id, j.server_id, j.storage_id, j.encryption_key_id, 'x', ${randomBytes(1)}, '{}'
        from jobs j where j.id = ${job} returning id, org_id
      )
      insert into restores (id, org_id, backup_id, job_id, vault_id, server_id, conflict, places, gc_floor)
      select ${restore}::uuid, v.org_id, ${id}, ${job}, v.id, ${server}, 'overwrite', '{/}', 0 from vault v`.execute(
      database.db,
    )
    expect((await show(id))['dependents']).toEqual([{ type: 'restore', id: restore }])
  })
})
