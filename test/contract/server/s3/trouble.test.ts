import { createHash } from 'node:crypto'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { openS3Store, type S3Store } from '#server/io/s3/store.ts'
import { Failure } from '#shared/errors.ts'
import { createFaultPlan, type FaultPlan, HTTP_FAULTS } from '../../../support/fault-plan.ts'
import { type FaultProxy, startFaultProxy } from '../../../support/fault-proxy.ts'
import { ACCESS_KEY, REGION, SECRET, startS3, type TestS3 } from '../../../support/s3-server.ts'
import { seeded } from '../../../support/seeded.ts'

const NEVER = new AbortController().signal
/** Nothing moves for so long: short, as the tests wait for it. */
const IDLE = 150

describe('a storage in trouble', () => {
  let s3: TestS3
  let proxy: FaultProxy
  let plan: FaultPlan
  let store: S3Store
  let settings: Parameters<typeof openS3Store>[0]
  const body = seeded('body').bytes(50_000)

  beforeAll(async () => {
    s3 = await startS3()
    await s3.client().send(new CreateBucketCommand({ Bucket: 'vaults' }))
    plan = createFaultPlan(seeded('plan'), [], { longestPause: 20 })
    proxy = await startFaultProxy(s3.endpoint, plan)
    settings = {
      name: 'troubled',
      endpoint: proxy.url,
      region: REGION,
      bucket: 'vaults',
      prefix: '',
      pathStyle: true,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
    }
    store = openS3Store(settings, true, systemClock, IDLE)
    await store.put('there', body, { ifAbsent: false }, NEVER)
    store.close()
  })
  // A client of its own for each: the SDK tries less and less again on one that sees nothing but trouble.
  beforeEach(() => {
    store = openS3Store(settings, true, systemClock, IDLE)
  })
  afterEach(() => {
    store.close()
    plan.set([])
    plan.reset()
  })
  afterAll(async () => {
    await proxy.close()
    await s3.close()
  })

  const md5 = createHash('md5').update(body).digest('hex')
  const right = { size: body.length, etag: md5 }

  /** What is wrong without a break is told as such, in a time that has an end. */
  const harmful = HTTP_FAULTS.filter((fault) => fault !== 'delay' && fault !== 'wrong-etag')
  const passing = harmful.filter((fault) => fault !== 'forbidden')
  test.each(harmful)('that only gives %s is STORAGE_UNAVAILABLE', async (fault) => {
    plan.set([{ fault, share: 1 }])
    for (const ask of [
      async () => store.head('there', NEVER),
      async () => store.get('there', { start: 0, end: 20_000 }, NEVER),
    ]) {
      await expect(ask()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    }
  })

  test.each(passing)('that gives %s once is asked again behind the scenes', async (fault) => {
    plan.set([{ fault, share: 1, times: 1 }])
    expect(await store.head('there', NEVER)).toEqual(right)
    plan.set([{ fault, share: 1, times: 1 }])
    const part = await store.get('there', { start: 10, end: 20_000 }, NEVER)
    expect(Buffer.from(part ?? []).equals(body.subarray(10, 20_000))).toBe(true)
  })

  test('that refuses says with which status', async () => {
    plan.set([{ fault: 'forbidden', share: 1 }])
    const error = await store.head('there', NEVER).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Failure)
    expect(error).toMatchObject({ details: { status: 403 } })
    await proxy.down()
    const away = await store.head('there', NEVER).catch((thrown: unknown) => thrown)
    await proxy.up()
    expect(away).toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    expect(away instanceof Failure && 'status' in away.details).toBe(false)
  })
})
