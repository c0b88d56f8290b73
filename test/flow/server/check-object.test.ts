import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { checkObject, type Looking } from '#server/flow/verifications/check-object.ts'
import { createPace } from '#server/flow/verifications/pace.ts'
import type { VaultStore } from '#server/ports.ts'
import { fail } from '#shared/errors.ts'
import { manualClock, settled } from '../../support/manual-clock.ts'

const bytes = Buffer.from('the bytes of an object')
const expected = {
  key: 'vaults/v/packs/00/1.1.age',
  size: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('base64url'),
  etag: 'tag',
}
const stop = new AbortController().signal

type Answers = {
  readonly head?: () => { size: number; etag: string } | null
  readonly get?: () => Uint8Array | null
}

const looking = ({ head, get }: Answers): { looking: Looking; waited: number[] } => {
  const waited: number[] = []
  const good = { size: bytes.length, etag: 'tag' }
  const store = {
    head: async () => Promise.resolve().then(() => (head === undefined ? good : head())),
    get: async () => Promise.resolve().then(() => (get === undefined ? bytes : get())),
  } satisfies Pick<VaultStore, 'head' | 'get'>
  const clock = { now: () => 0, monotonic: () => 0, sleep: async () => Promise.resolve() }
  return {
    waited,
    looking: {
      ...{ clock, stop, pace: createPace(clock, null) },
      // The other verbs are not asked for.
      store: store as unknown as VaultStore,
      waitOut: async (failure, attempt) => {
        waited.push(attempt)
        if (attempt > 3) throw failure
        return Promise.resolve()
      },
    },
  }
}

/** Answers one after the other; the last one again and again. */
const inTurn = <T>(...answers: readonly (() => T)[]): (() => T) => {
  let at = 0
  return () => {
    const answer = answers[Math.min(at, answers.length - 1)]!
    at += 1
    return answer()
  }
}

const away = (): never => {
  throw fail('STORAGE_UNAVAILABLE', { storage: 's', verb: 'get', problem: 'away' })
}

test('what the storage fails to do is tried again, and no damage', async () => {
  const once = looking({
    head: inTurn(away, () => ({ size: bytes.length, etag: 'tag' })),
    get: inTurn(away, () => bytes),
  })
  expect(await checkObject(once.looking, expected, 'read')).toBeNull()
  expect(once.waited).toEqual([1, 1])
  expect(
    await checkObject(
      looking({ head: inTurn(away, away, () => ({ size: bytes.length, etag: 'tag' })) }).looking,
      expected,
      'head',
    ),
  ).toBeNull()
})

test('a storage that stays away is an error, not a finding', async () => {
  for (const [how, answers] of [
    ['head', { head: away }],
    ['read', { get: away }],
  ] as const)
    await expect(checkObject(looking(answers).looking, expected, how)).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
    })
})

test('what looks damaged once and is right the second time is not damaged', async () => {
  const wrong = Uint8Array.from(bytes, (byte) => byte ^ 1)
  const read = looking({
    get: inTurn(
      () => wrong,
      () => bytes,
    ),
  }).looking
  expect(await checkObject(read, expected, 'read')).toBeNull()
  const head = looking({
    head: inTurn(
      () => null,
      () => ({ size: bytes.length, etag: 'tag' }),
    ),
  })
  expect(await checkObject(head.looking, expected, 'head')).toBeNull()
})

test('what is not what was signed for is said as it is', async () => {
  const found = async (answers: Answers, how: 'head' | 'read'): Promise<string | undefined> =>
    (await checkObject(looking(answers).looking, expected, how))?.message
  expect(await found({ head: () => null }, 'head')).toContain(expected.key)
  expect(await found({ head: () => ({ size: 1, etag: 'tag' }) }, 'head')).toContain('1 bytes')
  expect(await found({ head: () => ({ size: bytes.length, etag: 'other' }) }, 'head')).toContain(
    'ETag',
  )
  expect(await found({ head: () => ({ size: 99, etag: 'other' }) }, 'read')).toContain('99 bytes')
  expect(await found({ get: () => Buffer.alloc(bytes.length) }, 'read')).toContain('SHA-256')
  expect(await checkObject(looking({ get: () => null }).looking, expected, 'read')).toMatchObject({
    code: 'MISSING_OBJECT',
  })
})

test('a rate holds for all who read, and each waits for those before it', async () => {
  const clock = manualClock()
  const pace = createPace(clock, 1000)
  const passed: string[] = []
  const take = async (name: string, size: number): Promise<void> => {
    await pace(size, stop)
    passed.push(name)
  }
  const all = Promise.all([take('a', 2000), take('b', 500), take('c', 1)])
  await settled()
  expect(passed).toEqual(['a'])
  await clock.advance(1999)
  expect(passed).toEqual(['a'])
  await clock.advance(1)
  expect(passed).toEqual(['a', 'b'])
  await clock.advance(500)
  await all
  expect(passed).toEqual(['a', 'b', 'c'])
})
