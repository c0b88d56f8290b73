import { describe, expect, test } from 'vitest'
import { type Check, createReadiness } from '#server/flow/readiness.ts'
import type { Stores } from '#server/ports.ts'
import { fail } from '#shared/errors.ts'
import type { StorageId } from '#shared/ids.ts'
import { SECOND } from '#shared/units.ts'
import { manualClock, settled } from '../../support/manual-clock.ts'
import { quiet } from '../../support/http-app.ts'

type Answer = 'there' | 'gone' | 'silent' | 'broken'

/** Storages that answer so, by their names, and how often each was asked. */
const placed = (answers: Record<string, Answer>) => {
  const clock = manualClock()
  const asked = { heads: 0, pings: 0, silent: 0 }
  const head = async (name: string): Promise<{ size: number; etag: string } | null> => {
    asked.heads += 1
    const answer = answers[name]
    if (answer === 'silent') {
      asked.silent += 1
      return new Promise(() => undefined)
    }
    if (answer === 'broken')
      throw fail('STORAGE_UNAVAILABLE', { storage: name, verb: 'head', problem: 'hunter2' })
    return Promise.resolve(answer === 'there' ? { size: 1, etag: 'a' } : null)
  }
  const stores = {
    open: async (name: StorageId) => Promise.resolve({ head: async () => head(name) }),
  } as unknown as Stores
  let ping = async (): Promise<void> => Promise.resolve()
  const readiness: Check = createReadiness({
    ...{ clock, log: quiet, stores },
    usedStorages: {
      latest: async (limit) =>
        Promise.resolve(
          Object.keys(answers)
            .slice(0, limit)
            .map((storage) => ({ storage: storage as StorageId, key: 'genesis' })),
        ),
    },
    checkDatabase: async () => {
      asked.pings += 1
      return ping()
    },
  })
  return { clock, asked, readiness, answers, pinging: (how: typeof ping) => (ping = how) }
}

const DEADLINE = 2 * SECOND
const KEPT = 5 * SECOND

describe('a control plane', () => {
  test('is ready without backups, and as long as one storage of several answers', async () => {
    expect(await placed({}).readiness.check()).toEqual({ database: 'ok', storage: 'unused' })
    const two = placed({ a: 'broken', b: 'there' })
    expect(await two.readiness.check()).toEqual({ database: 'ok', storage: 'ok' })
    const { readiness, clock } = placed({ a: 'silent', b: 'there', c: 'gone' })
    const checks = readiness.check()
    await clock.advance(DEADLINE)
    expect(await checks).toEqual({ database: 'ok', storage: 'ok' })
  })

  test('is not ready when none does, and tells nobody which, or why', async () => {
    for (const answer of ['broken', 'gone'] as const) {
      const failed = placed({ secretive: answer }).readiness.check()
      await expect(failed).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
      await expect(failed).rejects.not.toThrow(/secretive|hunter2|genesis/)
    }
  })

  test('does not wait for a storage that is silent longer than the deadline', async () => {
    const { readiness, clock } = placed({ a: 'silent' })
    const failed = expect(readiness.check()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    await clock.advance(DEADLINE)
    await failed
  })

  test('looks once for all who ask at once, and at storages once in a while', async () => {
    const { readiness, clock, asked, answers } = placed({ a: 'there' })
    await Promise.all(Array.from({ length: 50 }, async () => readiness.check()))
    expect(asked).toEqual({ heads: 1, pings: 1, silent: 0 })
    answers['a'] = 'broken'
    await clock.advance(KEPT - 1)
    await readiness.check()
    expect(asked).toMatchObject({ heads: 1, pings: 2 })
    await clock.advance(1)
    await expect(readiness.check()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    answers['a'] = 'there'
    await expect(readiness.check()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    await clock.advance(KEPT)
    expect(await readiness.check()).toEqual({ database: 'ok', storage: 'ok' })
    expect(asked.heads).toBe(3)
  })

  test('asks a silent storage once at a time, however many wait', async () => {
    const { readiness, clock, asked } = placed({ a: 'silent' })
    const waiting = Array.from({ length: 50 }, async () =>
      expect(readiness.check()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' }),
    )
    await settled()
    expect(asked.silent).toBe(1)
    await clock.advance(DEADLINE)
    await Promise.all(waiting)
  })

  test('without its database is not ready, and asks no storage', async () => {
    const { readiness, clock, asked, pinging } = placed({ a: 'there' })
    pinging(async () => Promise.reject(fail('DATABASE_UNAVAILABLE', { problem: 'gone' })))
    await expect(readiness.check()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    expect(asked.heads).toBe(0)
    pinging(async () => new Promise(() => undefined))
    const late = expect(readiness.check()).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE' })
    await clock.advance(DEADLINE)
    await late
    pinging(async () => Promise.resolve())
    expect(await readiness.check()).toEqual({ database: 'ok', storage: 'ok' })
  })
})
