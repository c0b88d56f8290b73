import { expect, test } from 'vitest'
import { buildApp } from '#server/entry/http/app.ts'
import type { Log } from '#shared/world.ts'
import { errorOf } from '../../../support/answers.ts'
import { quiet, startTestApp, startTestDatabase } from '../../../support/http-app.ts'

test('a mistake of ours is told by its code alone; its words and its stack go to the log', async () => {
  const logged: unknown[] = []
  const log: Log = { ...quiet, error: (fields) => void logged.push(fields) }
  const tokens = { find: async () => Promise.resolve(null) }
  const app = await buildApp(
    { tokens, log, requestsPerMinute: 10, makeRequestId: () => 'request-7' },
    [
      (one) =>
        void one.get('/broken', { config: { scope: 'public' } }, async () =>
          Promise.reject(new Error('the password is hunter2')),
        ),
    ],
  )
  const answer = await app.inject('/broken')
  expect(answer.statusCode).toBe(500)
  expect(answer.json<{ error: { code: string } }>().error.code).toBe('INTERNAL')
  expect(answer.body).not.toContain('hunter2')
  expect(JSON.stringify(logged)).toContain('hunter2')
  expect(logged).toMatchObject([{ request: 'request-7', code: 'INTERNAL' }])
  await app.close()
})

test('without its database it says so with 503, is not ready, and still lives', async () => {
  const database = await startTestDatabase()
  const api = await startTestApp(database)
  try {
    expect((await api.call('GET', '/readyz')).status).toBe(200)
    await database.postgres.close()
    for (const path of ['/readyz', '/v1/servers']) {
      const answer = await api.call('GET', path)
      expect([path, answer.status]).toEqual([path, 503])
      expect(errorOf(answer).code).toBe('DATABASE_UNAVAILABLE')
    }
    expect((await api.call('GET', '/healthz')).status).toBe(200)
  } finally {
    await api.app.close()
    await database.close()
  }
})
