import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { backupRun, type RunEvent, step } from '#server/core/backup-machine.ts'
import { runsIn } from '#server/io/db/runs/runs.ts'
import type { BackupId } from '#shared/ids.ts'
import { HOUR } from '#shared/units.ts'
import { testDatabase, type TestDatabase } from '../../../support/database-template.ts'
import { type Answer, dataOf, errorOf, metaOf, rowsOf } from '../../../support/answers.ts'
import { startTestApp, type TestApp } from '../../../support/http-app.ts'
import { addJob } from '../../../support/http-objects.ts'

let database: TestDatabase
let api: TestApp
let backup: BackupId
const LEVELS = ['info', 'warn', 'error'] as const

const happens = async (event: RunEvent): Promise<void> => {
  await runsIn(database.db).change(backupRun(backup), (run) => step(run, event))
}

beforeAll(async () => {
  database = await testDatabase()
  api = await startTestApp({ database })
  const { job } = await addJob(api, 'logged')
  backup = String(dataOf(await api.call('POST', `/v1/jobs/${job}/backups`))['id']) as BackupId
  const until = Date.now() + HOUR
  await happens({ kind: 'dispatched', lease: { link: 1, until }, deadline: until })
  for (let n = 0; n < 1300; n += 100) {
    const lines = Array.from({ length: 100 }, (_, i) => ({
      level: LEVELS[i % 10 === 0 ? 2 : i % 3 === 0 ? 1 : 0],
      message: `line ${n + i}\nnot a line of its own`,
      fields: { path: `/data/${n + i}` },
    }))
    await runsIn(database.db).log(backupRun(backup), 1, lines)
  }
})

afterAll(async () => {
  await api.app.close()
  await database.close()
})

const logs = async (query = ''): Promise<Answer> =>
  api.call('GET', `/v1/backups/${backup}/logs${query}`)

const download = async (
  query = '',
): Promise<{ text: string; headers: Record<string, unknown> }> => {
  const response = await api.app.inject({
    url: `/v1/backups/${backup}/logs?download=true${query}`,
    headers: { authorization: `Bearer ${api.token}` },
  })
  expect(response.statusCode).toBe(200)
  return { text: response.body, headers: response.headers }
}

describe('GET /v1/backups/{id}/logs', () => {
  test('begins with the newest line, and pages to the life of the run without a gap', async () => {
    const seen: Record<string, unknown>[] = []
    let query = '?limit=100'
    for (;;) {
      const page = await logs(query)
      expect(page.status).toBe(200)
      seen.push(...rowsOf(page))
      const next = metaOf(page)['next_cursor']
      if (typeof next !== 'string') break
      query = `?limit=100&cursor=${encodeURIComponent(next)}`
    }
    expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, n) => seen.length - n))
    expect(seen.filter(({ message }) => String(message).startsWith('line '))).toHaveLength(1300)
    expect(seen.slice(-2)).toMatchObject([
      { message: 'Offered to the agent.' },
      { message: 'local asked for this backup; it waits for its server.', level: 'info' },
    ])
    expect(seen[0]).toMatchObject({ level: 'warn', fields: { path: '/data/1299' } })
    expect(metaOf(await logs())['total']).toBe(seen.length)
  })

  test('turned around, begins with the oldest', async () => {
    for (const order of ['sort=seq', 'sort_order=asc', 'sort_by=seq&sort_order=asc']) {
      const numbers = rowsOf(await logs(`?${order}&limit=3`)).map(({ seq }) => seq)
      expect([order, numbers]).toEqual([order, [1, 2, 3]])
    }
    const [first] = rowsOf(await logs('?sort=-seq&limit=1'))
    expect(first).toMatchObject({ message: expect.stringContaining('line 1299') as unknown })
    const wrong = await logs('?sort=message')
    expect([wrong.status, errorOf(wrong).details['field']]).toEqual([400, 'sort'])
  })

  test('gives a level and what is worse, all of it, in its order', async () => {
    for (const [level, wanted] of [
      ['debug', LEVELS],
      ['info', LEVELS],
      ['warn', ['warn', 'error']],
      ['error', ['error']],
    ] as const) {
      const page = await logs(`?level=${level}&limit=100`)
      const rows = rowsOf(page)
      expect(new Set(rows.map((row) => row['level']))).toEqual(new Set(wanted))
      const numbers = rows.map((row) => Number(row['seq']))
      expect(numbers).toEqual(numbers.toSorted((a, b) => b - a))
    }
    const errors = await logs('?level=error&limit=1')
    expect(metaOf(errors)['total']).toBe(130)
    expect((await logs('?level=fatal')).status).toBe(400)
  })

  test('is downloaded whole, one line a line', async () => {
    const { text, headers } = await download()
    expect(headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(headers['content-disposition']).toBe(`attachment; filename="backup-${backup}.log"`)
    const lines = text.split('\n')
    expect(lines.pop()).toBe('')
    expect(lines).toHaveLength(Number(metaOf(await logs())['total']))
    expect(lines.at(-1)).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z WARN {2}line 1299\\u000anot a line of its own path=\/data\/1299$/,
    )
    const errors = await download('&level=error')
    expect(errors.text.split('\n')).toHaveLength(131)
    expect(errors.text).not.toMatch(/ (INFO|WARN) /)
  })

  test('is bounded, and says so at its end', async () => {
    const many = Array.from({ length: 1000 }, () => ({ level: 'info' as const, message: 'more' }))
    for (let n = 0; n < 10; n += 1) await runsIn(database.db).log(backupRun(backup), 1, many)
    expect(metaOf(await logs())['total']).toBe(10_000)
    const problem = { code: 'RUN_LOST', message: 'it is gone' }
    await happens({ kind: 'ended', epoch: 1, status: 'failed', problem })
    const last = rowsOf(await logs('?sort=-seq&limit=2')).map((row) => row['message'])
    expect(last).toEqual(['it is gone', expect.stringContaining('The log is full')])
    expect(metaOf(await logs())).toMatchObject({ total: 10_000, total_is_lower_bound: true })
  })
})

describe('lines that are said at once', () => {
  test('by the agent and by what happens to the run have numbers without a hole', async () => {
    const { job } = await addJob(api, 'raced')
    backup = String(dataOf(await api.call('POST', `/v1/jobs/${job}/backups`))['id']) as BackupId
    const until = Date.now() + HOUR
    const lease = { link: 1, until }
    await happens({ kind: 'dispatched', lease, deadline: until + HOUR })
    await happens({ kind: 'accepted', epoch: 1 })
    const said: string[] = []
    const say = async (): Promise<void> => {
      for (let n = 0; n < 50; n += 1) {
        const { lease_epoch } = await database.db
          .selectFrom('backups')
          .select('lease_epoch')
          .where('id', '=', backup)
          .executeTakeFirstOrThrow()
        const line = { level: 'info' as const, message: `said ${n}` }
        const kept = await runsIn(database.db).log(backupRun(backup), lease_epoch, [line])
        if (kept) said.push(line.message)
      }
    }
    const change = async (): Promise<void> => {
      for (let n = 0; n < 20; n += 1) {
        await happens({ kind: 'tick', now: until })
        await happens({ kind: 'presented', lease })
      }
    }
    await Promise.all([say(), change()])
    const rows = rowsOf(await logs('?limit=100&sort=seq'))
    expect(rows.map((row) => row['seq'])).toEqual(rows.map((_, n) => n + 1))
    const messages = rows.map((row) => String(row['message']))
    expect(messages.filter((message) => message.startsWith('said'))).toEqual(said)
    expect(messages.filter((message) => message.startsWith('The agent is'))).toHaveLength(40)
    expect(said.length).toBeGreaterThan(0)
  })
})
