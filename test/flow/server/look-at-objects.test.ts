import { describe, expect, test } from 'vitest'
import { lookAt } from '#server/flow/confirm-objects.ts'
import type { GrantedObject } from '#server/ports.ts'
import { fail } from '#shared/errors.ts'
import type { StoredObject } from '#shared/store.ts'
import type { Clock } from '#shared/world.ts'

const clock: Clock = {
  now: () => 0,
  monotonic: () => 0,
  sleep: async () => Promise.resolve(),
}
const stop = new AbortController().signal
const object: GrantedObject = {
  class: 'pack',
  no: 1,
  key: 'k',
  size: 10,
  sha256: 'x',
  etag: null,
}
const right = { size: 10, etag: 'a' }
const wrong = { size: 10, etag: 'b' }
const short = { size: 9, etag: 'a' }

/** A store that shows these, one after the other, and the last of them for good. */
const showing = (
  ...shown: readonly (StoredObject | null | Error)[]
): { look(etag: string): Promise<string>; looks(): number } => {
  let looks = 0
  const head = async (): Promise<StoredObject | null> => {
    const found = shown[Math.min(looks, shown.length - 1)] ?? null
    looks += 1
    if (found instanceof Error) throw found
    return Promise.resolve(found)
  }
  return {
    look: async (etag) => lookAt({ store: { head }, clock, stop }, [object, etag]),
    looks: () => looks,
  }
}

describe('an object that was put', () => {
  test('is there when the store shows it as it was put, with or without quotes', async () => {
    const store = showing(right)
    expect(await store.look('a')).toBe('a')
    expect(await store.look('"a"')).toBe('a')
    expect(store.looks()).toBe(2)
  })

  test.each([
    ['late', [null, null, right]],
    ['with another ETag once', [wrong, right]],
    ['with another size once', [short, right]],
  ])('is there when the store shows it %s', async (_, shown) => {
    expect(await showing(...shown).look('a')).toBe('a')
  })

  test.each([
    ['is not in the store', [null]],
    ['has 9 bytes, not 10', [short]],
    ['its ETag is another one', [wrong]],
  ])('is not there when for all looks it %s', async (problem, shown) => {
    const store = showing(...shown)
    const error = await store.look('a').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'UPLOAD_FAILED', details: { key: 'k' } })
    expect(String(error)).toContain(problem)
    expect(store.looks()).toBe(4)
  })

  test('whose ETag nobody knows is what the store says twice', async () => {
    expect(await showing(right).look('')).toBe('a')
    expect(await showing(wrong, right, right).look('')).toBe('a')
    expect(await showing(null, right).look('')).toBe('a')
    await expect(showing(wrong, right, wrong, right).look('')).rejects.toMatchObject({
      code: 'UPLOAD_FAILED',
    })
  })

  test('is not missing because the store is away', async () => {
    const away = fail('STORAGE_UNAVAILABLE', { storage: 's', verb: 'head', problem: 'x' })
    const store = showing(away)
    await expect(store.look('a')).rejects.toBe(away)
    expect(store.looks()).toBe(1)
  })
})
