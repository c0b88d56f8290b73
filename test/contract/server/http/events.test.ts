import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { backupRun, type RunEvent, step } from '#server/core/backup-machine.ts'
import { buildApp } from '#server/entry/http/app.ts'
import { backupEventRoutes } from '#server/entry/http/routes/backup-events.ts'
import { createFollowing } from '#server/flow/follow.ts'
import { systemClock } from '#server/io/clock.ts'
import { newsIn } from '#server/io/db/following.ts'
import { type Database, openDatabase } from '#server/io/db/open.ts'
import { runsIn } from '#server/io/db/runs/runs.ts'
import type { BackupId } from '#shared/ids.ts'
import { HOUR } from '#shared/units.ts'
import { testDatabase, type TestDatabase } from '../../../support/database-template.ts'
import { type EventStream, openEvents } from '../../../support/event-stream.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import { quiet, startTestApp, type TestApp } from '../../../support/http-app.ts'
import { addJob, addToken } from '../../../support/http-objects.ts'
import { eventually } from '../../../support/wait.ts'

let database: TestDatabase
let api: TestApp
let url: string
/** Where the runs are worked on: connections of another replica. */
let elsewhere: Database
const streams: EventStream[] = []

beforeAll(async () => {
  database = await testDatabase()
  elsewhere = openDatabase(database.address)
  api = await startTestApp({ database })
  url = await api.app.listen({ host: '127.0.0.1', port: 0 })
})

afterAll(async () => {
  for (const stream of streams) stream.close()
  await api.app.close()
  await elsewhere.close()
  await database.close()
})

const follow = async (
  id: string,
  { lastEventId, token = api.token }: { lastEventId?: string; token?: string } = {},
): Promise<EventStream> => {
  const stream = await openEvents(`${url}/v1/backups/${id}/events`, token, lastEventId)
  streams.push(stream)
  return stream
}

let count = 0
const start = async (): Promise<BackupId> => {
  count += 1
  const { job } = await addJob(api, `followed ${count}`)
  return String(dataOf(await api.call('POST', `/v1/jobs/${job}/backups`))['id']) as BackupId
}

const happens = async (id: BackupId, event: RunEvent): Promise<void> => {
  const settled = await runsIn(elsewhere.db).change(backupRun(id), (run) => step(run, event))
  expect(settled?.verdict).toBe('changed')
}

const dispatch = async (id: BackupId): Promise<void> => {
  const until = Date.now() + HOUR
  await happens(id, { kind: 'dispatched', lease: { link: 1, until }, deadline: until })
}

const fail = async (id: BackupId): Promise<void> =>
  happens(id, {
    kind: 'ended',
    epoch: 1,
    status: 'failed',
    problem: { code: 'RUN_LOST', message: 'it is gone' },
  })

const say = async (id: BackupId, ...messages: string[]): Promise<void> => {
  for (const message of messages)
    await runsIn(elsewhere.db).log(backupRun(id), 1, [{ level: 'info', message }])
}

const progress = async (id: BackupId, files: number): Promise<void> => {
  const counts = {
    files,
    directories: 1,
    others: 0,
    changed: 0,
    unchanged: 0,
    skipped: 0,
    errors: 0,
  }
  const bytes = { bytes_source: files, bytes_read: 0, bytes_new: 0, bytes_stored: 0 }
  await runsIn(elsewhere.db).progress(backupRun(id), 1, { phase: 'scanning', counts, ...bytes })
}

const of = (stream: EventStream, event: string): unknown[] =>
  stream.events.filter((one) => one.event === event).map(({ data }) => data)

const statuses = (stream: EventStream): unknown[] =>
  of(stream, 'status').map((data) => (data as { status: string }).status)

const messages = (stream: EventStream): unknown[] =>
  of(stream, 'log').map((data) => (data as { message: string }).message)

describe('GET /v1/backups/{id}/events', () => {
  test('tells what happens on another replica, and closes after the last status', async () => {
    const id = await start()
    const stream = await follow(id)
    expect(stream.status).toBe(200)
    expect(stream.headers.get('content-type')).toBe('text/event-stream')
    expect(stream.headers.get('cache-control')).toContain('no-store')
    await dispatch(id)
    await say(id, 'hello', 'a line\nof two')
    await progress(id, 42)
    await eventually('the progress', () =>
      of(stream, 'progress').some(
        (data) => (data as { counts: { files: number } | null }).counts?.files === 42,
      ),
    )
    await fail(id)
    const events = await stream.end()
    expect(events.every((one) => one.id !== '')).toBe(true)
    expect(statuses(stream)).toEqual(['pending', 'running', 'failed'])
    expect(messages(stream)).toEqual(expect.arrayContaining(['hello', 'a line\nof two']) as unknown)
    expect(events.at(-1)).toMatchObject({
      event: 'status',
      data: { status: 'failed', error: { code: 'RUN_LOST', message: 'it is gone' } },
    })
    const [last] = of(stream, 'progress').slice(-1)
    const now = await api.call('GET', `/v1/backups/${id}/progress`)
    expect(last).toEqual(dataOf(now))
  })

  test('goes on after the last event that the reader had, and says 204 when there is none left', async () => {
    const id = await start()
    await dispatch(id)
    const got: unknown[] = []
    let lastEventId: string | undefined
    for (let round = 0; round < 5; round += 1) {
      const stream = await follow(id, lastEventId === undefined ? {} : { lastEventId })
      await say(id, `round ${round}, while it is read`)
      await eventually('the line', () =>
        messages(stream).includes(`round ${round}, while it is read`),
      )
      stream.close()
      lastEventId = stream.events.at(-1)!.id
      got.push(...messages(stream))
      await say(id, `round ${round}, while nobody reads`)
    }
    await fail(id)
    const rest = await follow(id, { lastEventId: lastEventId! })
    await rest.end()
    got.push(...messages(rest))
    const wanted = [0, 1, 2, 3, 4].flatMap((n) => [
      `round ${n}, while it is read`,
      `round ${n}, while nobody reads`,
    ])
    expect(got.filter((message) => String(message).startsWith('round'))).toEqual(wanted)
    expect(statuses(rest)).toEqual(['failed'])
    const done = await follow(id, { lastEventId: rest.events.at(-1)!.id })
    expect(done.status).toBe(204)
    const again = await follow(id)
    await again.end()
    expect(messages(again)).toEqual(got)
    expect(statuses(again).at(-1)).toBe('failed')
  })

  test('refuses an id that is none of its events, and a reader that may not see it', async () => {
    const id = await start()
    const wrong = await api.call('GET', `/v1/backups/${id}/events`, {
      headers: { 'last-event-id': 'nonsense' },
    })
    expect([wrong.status, errorOf(wrong).details['field']]).toEqual([400, 'last-event-id'])
    const token = await addToken({ database }, { scopes: ['backup'] })
    expect((await api.call('GET', `/v1/backups/${id}/events`, { token })).status).toBe(403)
    const nowhere = id.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    expect((await api.call('GET', `/v1/backups/${nowhere}/events`)).status).toBe(404)
  })

  test('counts once against the budget of its token, however long it lasts', async () => {
    const id = await start()
    const before = await api.call('GET', '/v1/me')
    const stream = await follow(id)
    await dispatch(id)
    await say(id, ...Array.from({ length: 20 }, (_, n) => `line ${n}`))
    await eventually('the lines', () => messages(stream).includes('line 19'))
    const after = await api.call('GET', '/v1/me')
    const left = (answer: typeof before): number => Number(answer.headers['x-ratelimit-remaining'])
    expect(left(before) - left(after)).toBe(2)
    stream.close()
  })

  test('is one of at most a hundred of its token, until its reader leaves', async () => {
    const id = await start()
    const token = await addToken({ database })
    const open = async (): Promise<EventStream> => follow(id, { token })
    const all = await Promise.all(Array.from({ length: 100 }, open))
    expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]))
    expect((await open()).status).toBe(422)
    expect((await follow(id)).status).toBe(200)
    all[50]!.close()
    await eventually('a free place', async () => (await open()).status === 200)
    const problem = { code: 'CANCELED', message: 'as asked' }
    await happens(id, { kind: 'cancel', problem, now: 0 })
    for (const stream of all.filter((one) => one !== all[50])) {
      await stream.end()
      expect(statuses(stream)).toContain('canceled')
    }
  })

  test('ends at once when the app closes', async () => {
    const news = newsIn(elsewhere.sql)
    const following = await createFollowing({ news, clock: systemClock, log: quiet })
    const { resources } = api
    const app = await buildApp(
      { tokens: resources.tokens, log: quiet, requestsPerMinute: 9, makeRequestId: () => 'r' },
      [backupEventRoutes({ ...resources, following })],
    )
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    const id = await start()
    const stream = await openEvents(`${address}/v1/backups/${id}/events`, api.token)
    expect(stream.status).toBe(200)
    await app.close()
    await stream.end()
  })
})
