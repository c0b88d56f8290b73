import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { systemRandom } from '#server/io/random.ts'
import { createGetSigner, createSigner, GRANT_LIFE } from '#server/io/s3/sign.ts'
import { openS3Store, type S3Store } from '#server/io/s3/store.ts'
import { createStores, type StorageRow } from '#server/io/s3/stores.ts'
import { DAY, MINUTE, SECOND } from '#shared/units.ts'
import { makeId } from '#shared/ids.ts'
import {
  ACCESS_KEY,
  REGION,
  SECRET,
  shiftedClock,
  presign,
  sdkClient,
  sign,
  spawnS3,
  startS3,
  temporaryFolder,
  type TestS3,
} from '../../../support/s3-server.ts'
import { putGranted } from '../../../support/scripted-agent.ts'
import { objectStoreContract } from '../../object-store.ts'
import { vaultStoreContract } from '../../vault-store.ts'

const settings = (endpoint: string, over: Partial<StorageRow> = {}): StorageRow => ({
  name: 'test',
  endpoint,
  region: REGION,
  bucket: 'vaults',
  prefix: 'pre/fix',
  pathStyle: true,
  credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
  capabilities: null,
  ...over,
})

const startBucket = async (): Promise<TestS3> => {
  const s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket: 'vaults' }))
  return s3
}

const openAt = async (prefix: string): Promise<{ store: S3Store; close(): Promise<void> }> => {
  const s3 = await startBucket()
  const store = openS3Store(settings(s3.endpoint, { prefix }), true, systemClock)
  return {
    store,
    close: async () => {
      store.close()
      await s3.close()
    },
  }
}

for (const prefix of ['', 'pre/fix']) {
  objectStoreContract(`S3, embedded, prefix "${prefix}"`, async () => openAt(prefix))
  vaultStoreContract(`S3, embedded, prefix "${prefix}"`, async () => openAt(prefix))
}

describe('a storage', () => {
  let s3: TestS3
  let store: S3Store
  const clock = shiftedClock()
  const stop = new AbortController().signal
  beforeAll(async () => {
    s3 = await startBucket()
    store = openS3Store(settings(s3.endpoint), true, clock)
  })
  afterAll(async () => {
    store.close()
    await s3.close()
  })

  const body = systemRandom(1000)
  const object = {
    key: "vaults/v/packs/a b'(1)+ü.age",
    size: body.length,
    sha256: createHash('sha256').update(body).digest('base64url'),
  }

  test('is signed for exactly as a signer signs that others wrote', async () => {
    const time = Date.UTC(2026, 10, 21, 23, 59, 59)
    const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET }
    const host = `127.0.0.1:${s3.port}`
    const place = { origin: `http://${host}`, host, base: '/vaults/', region: REGION }
    for (const createOnly of [true, false])
      for (const at of [time, time + MINUTE, time]) {
        const ours = createSigner({ ...place, createOnly }, credentials)(object, at, 5)
        const theirs = await sign(
          s3.port,
          {
            method: 'PUT',
            path: new URL(ours.url).pathname,
            headers: {
              'content-length': String(object.size),
              ...(createOnly ? { 'if-none-match': '*' } : {}),
            },
            body: Buffer.from(body),
          },
          { at: new Date(at) },
        )
        expect(ours.headers['authorization']).toBe(theirs.headers['authorization'])
        expect(ours.expiresAt).toBe(5 + GRANT_LIFE)
      }
  })

  test('gives out URLs to read by, as a signer presigns that others wrote', async () => {
    const time = Date.UTC(2026, 10, 21, 23, 59, 59)
    const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET }
    const disposition = `attachment; filename="a b.age"; filename*=UTF-8''%C3%BC%2F%27.age`
    const virtual = `vaults.store.test:${s3.port}`
    for (const [host, base] of [
      [`127.0.0.1:${s3.port}`, '/vaults/'],
      [virtual, '/'],
    ] as const) {
      const place = { origin: `http://${host}`, host, base, region: REGION, createOnly: true }
      const ours = new URL(
        createGetSigner(place, credentials)(
          { key: object.key, expiresIn: 604_800, disposition },
          time,
        ),
      )
      const theirs = await presign(
        s3.port,
        {
          method: 'GET',
          path: ours.pathname,
          query: { 'response-content-disposition': disposition },
          headers: { host },
        },
        { at: new Date(time), expiresIn: 604_800, unsigned: ['x-amz-content-sha256'] },
      )
      const expected = new URL(theirs.url, ours).searchParams
      expect(Object.fromEntries(ours.searchParams)).toEqual(Object.fromEntries(expected))
    }
    const wrong = createGetSigner(
      { origin: 'http://h', host: 'h', base: '/', region: REGION, createOnly: false },
      credentials,
    )
    expect(() => wrong({ key: 'k', expiresIn: 604_801 }, time)).toThrow(RangeError)
  })

  test('is used by its own clock, however far ours is away', async () => {
    const folder = await temporaryFolder()
    const elsewhere = await spawnS3(folder)
    const endpoint = `http://127.0.0.1:${elsewhere.port}`
    await sdkClient(elsewhere.port).send(new CreateBucketCommand({ Bucket: 'vaults' }))
    const real = Date.now()
    try {
      for (const shift of [3 * DAY, -2 * DAY, 0]) {
        vi.useFakeTimers({ toFake: ['Date'], now: real + shift })
        const fresh = openS3Store(settings(endpoint), false, systemClock)
        expect(await fresh.head('anything', stop)).toBeNull()
        expect(Math.abs(fresh.skew() + shift)).toBeLessThan(30 * SECOND)
        const grant = fresh.sign(object)
        expect(grant.expiresAt).toBe(real + shift + GRANT_LIFE)
        expect(await putGranted(grant, body)).toMatchObject({ status: 200 })
        fresh.close()
      }
    } finally {
      vi.useRealTimers()
      await elsewhere.kill()
      await rm(folder, { recursive: true })
    }
  })

  test('is signed for by its own clock before anything else was asked of it, and after that jumps', async () => {
    const folder = await temporaryFolder()
    const elsewhere = await spawnS3(folder)
    await sdkClient(elsewhere.port).send(new CreateBucketCommand({ Bucket: 'vaults' }))
    const row = settings(`http://127.0.0.1:${elsewhere.port}`, {
      capabilities: { conditional_put: false },
    })
    let monotonic = 0
    const stores = createStores({
      rows: { load: async () => Promise.resolve(row), remember: async () => Promise.resolve() },
      clock: { ...systemClock, monotonic: () => monotonic },
      random: systemRandom,
    })
    const real = Date.now()
    try {
      for (const shift of [16 * MINUTE, -16 * MINUTE, 0]) {
        vi.useFakeTimers({ toFake: ['Date'], now: real + shift })
        monotonic += MINUTE
        const opened = await stores.open(makeId<'storage'>(1, new Uint8Array(10)))
        expect(await putGranted(opened.sign(object), body)).toMatchObject({ status: 200 })
      }
    } finally {
      vi.useRealTimers()
      stores.close()
      await elsewhere.kill()
      await rm(folder, { recursive: true })
    }
  })

  test('that cannot be reached, or refuses us, is STORAGE_UNAVAILABLE with its name', async () => {
    const refused = openS3Store(
      settings(s3.endpoint, { credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: 'x' } }),
      true,
      clock,
    )
    await expect(refused.head('a', stop)).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      details: { storage: 'test', verb: 'head', problem: expect.stringContaining('403') as string },
    })
    refused.close()
    const nowhere = openS3Store(settings('http://127.0.0.1:9'), true, clock)
    await expect(nowhere.remove(['a'], stop)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    nowhere.close()
  })

  test('is opened and probed once by many that ask at once, and a change of it counts later', async () => {
    const id = makeId<'storage'>(1, systemRandom(10))
    let row = settings(s3.endpoint)
    let probes = 0
    const slow = shiftedClock()
    let monotonic = 0
    const stores = createStores({
      rows: {
        load: async () => Promise.resolve(row),
        remember: async (_, capabilities) => {
          probes += 1
          row = { ...row, capabilities }
          return Promise.resolve()
        },
      },
      clock: { ...slow, monotonic: () => monotonic },
      random: systemRandom,
    })
    const opened = await Promise.all(Array.from({ length: 5 }, async () => stores.open(id)))
    expect(new Set(opened).size).toBe(1)
    expect(probes).toBe(1)
    row = { ...row, prefix: 'another' }
    expect(await stores.open(id)).toBe(opened[0])
    monotonic += MINUTE
    const changed = await stores.open(id)
    expect(changed).not.toBe(opened[0])
    expect(changed.sign(object).url).toContain('/vaults/another/')
    expect(probes).toBe(1)
    stores.close()
  })
})
