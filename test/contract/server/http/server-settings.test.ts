import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import {
  startTestApp,
  startTestDatabase,
  type TestApp,
  type TestDatabase,
} from '../../../support/http-app.ts'
import { addServer } from '../../../support/http-objects.ts'

let database: TestDatabase
let api: TestApp
let path: string
let server: string

beforeAll(async () => {
  database = await startTestDatabase()
  api = await startTestApp(database)
  server = await addServer(api, 'limited')
  path = `/v1/servers/${server}/settings`
})

afterAll(async () => {
  await api.app.close()
  await database.close()
})

describe('the settings of a server', () => {
  test('have defaults, and keep what is not named', async () => {
    expect(dataOf(await api.call('GET', path))).toEqual({
      server_id: server,
      upload_limit: null,
      download_limit: null,
      limit_windows: [],
      timezone: 'UTC',
      priority: 'low',
      updated_at: null,
    })
    const day = { from: '08:00', to: '18:00', days: ['mon', 'fri'], upload_limit: '2MiB' }
    const put = await api.call('PUT', path, {
      body: { limit_windows: [day], timezone: 'Europe/Berlin' },
    })
    expect(put.status).toBe(200)
    const windows = [{ ...day, upload_limit: 2 * MiB, download_limit: null }]
    expect(dataOf(put)).toMatchObject({ limit_windows: windows, upload_limit: null })
    const body = { upload_limit: '8388608', download_limit: MiB, priority: 'normal' }
    expect(dataOf(await api.call('PUT', path, { body }))).toMatchObject({
      upload_limit: 8 * MiB,
      download_limit: MiB,
      priority: 'normal',
      timezone: 'Europe/Berlin',
      limit_windows: windows,
      updated_at: expect.any(String) as unknown,
    })
    const kept = await api.agents.agents.settings(server as never)
    expect(kept).toMatchObject({ upload_limit: 8 * MiB, timezone: 'Europe/Berlin' })
    const none = await api.call('PUT', path, { body: { upload_limit: null, limit_windows: [] } })
    expect(dataOf(none)).toMatchObject({ upload_limit: null, limit_windows: [] })
  })

  test.each([
    ['upload_limit', { upload_limit: 1000 }],
    ['upload_limit', { upload_limit: 'fast' }],
    ['download_limit', { download_limit: 0 }],
    ['timezone', { timezone: 'Mars/Olympus' }],
    ['priority', { priority: 'high' }],
    ['limit_windows.0.to', { limit_windows: [{ from: '08:00', to: '08:00' }] }],
    ['limit_windows.0.from', { limit_windows: [{ from: '24:00', to: '08:00' }] }],
    ['limit_windows.0.days.0', { limit_windows: [{ from: '08:00', to: '09:00', days: ['m'] }] }],
    [
      'limit_windows.0.upload_limit',
      { limit_windows: [{ from: '08:00', to: '09:00', upload_limit: 1 }] },
    ],
    ['speed', { speed: 1 }],
  ])('are refused where %s is nonsense', async (field, body) => {
    const refused = await api.call('PUT', path, { body })
    expect([refused.status, errorOf(refused).details['field']]).toEqual([400, field])
  })
})
