import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { systemRandom } from '#server/io/random.ts'
import type { StorageSettings } from '#server/io/s3/client.ts'
import { examine, sendPut } from '#server/io/s3/probe.ts'
import { openS3Store } from '#server/io/s3/store.ts'
import type { StorageTrial } from '#server/ports/storage-tests.ts'
import { HOUR, SECOND } from '#shared/units.ts'
import {
  ACCESS_KEY,
  REGION,
  SECRET,
  shiftedClock,
  startS3,
  type TestS3,
} from '../../../support/s3-server.ts'
import { type Bend, startStrangeS3, type Strange } from '../../../support/strange-s3.ts'
import { eventually } from '../../../support/wait.ts'

let s3: TestS3
const ours = shiftedClock()
const opened: Strange[] = []

beforeAll(async () => {
  s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket: 'vaults' }))
})

afterEach(async () => {
  for (const strange of opened.splice(0)) await strange.close()
  ours.shift = 0
})

afterAll(async () => s3.close())

const settings = (over: Partial<StorageSettings> = {}): StorageSettings => ({
  name: 'test',
  endpoint: s3.endpoint,
  region: REGION,
  bucket: 'vaults',
  prefix: 'pre/fix',
  pathStyle: true,
  credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
  ...over,
})

const look = async (
  over: Partial<StorageSettings> = {},
  span = 20 * SECOND,
): Promise<StorageTrial> =>
  examine(openS3Store(settings(over), false, ours), span, {
    random: systemRandom,
    clock: ours,
    send: sendPut,
  })

const through = async (bend: Bend, span?: number): Promise<StorageTrial> => {
  const strange = await startStrangeS3(s3.port, bend)
  opened.push(strange)
  return look({ endpoint: strange.endpoint }, span)
}

const statuses = ({ steps }: StorageTrial): Record<string, string> =>
  Object.fromEntries(steps.map(({ step, status }) => [step, status]))

const failed = (trial: StorageTrial) => trial.steps.filter(({ status }) => status === 'failed')

const left = async (): Promise<string[]> => {
  const store = openS3Store(settings(), false, systemClock)
  const keys = await Array.fromAsync(store.list('downloads/', AbortSignal.timeout(10 * SECOND)))
  store.close()
  return keys
}

const ALL = ['write', 'look', 'read', 'range', 'list', 'overwrite', 'grant', 'delete', 'clock']

describe('a storage that is tried out', () => {
  test('passes every step, and nothing is left behind', async () => {
    const trial = await look()
    expect(trial).toMatchObject({
      ok: true,
      capabilities: { conditional_put: true, content_bound_grants: true, clock_skew_ms: 0 },
    })
    expect(trial.steps.map(({ step }) => step)).toEqual(ALL)
    expect(new Set(Object.values(statuses(trial)))).toEqual(new Set(['passed']))
    expect(await left()).toEqual([])
  })

  test('passes behind a proxy that does nothing, so that what follows is about what it does', async () => {
    expect((await through(() => null)).ok).toBe(true)
  })

  test('that never answers has failed when its time is over, and not later than that', async () => {
    const trial = await through(() => 'hang', 300)
    expect(statuses(trial)).toEqual({
      ...Object.fromEntries(ALL.map((step) => [step, 'skipped'])),
      write: 'failed',
    })
    expect(failed(trial)).toMatchObject([
      {
        problem: 'it did not answer within 0.3 s',
        advice: expect.stringContaining('firewall') as string,
      },
    ])
    expect(trial.capabilities).toBeNull()
  })

  test('that hangs in the middle says where', async () => {
    const trial = await through(({ method }) => (method === 'HEAD' ? 'hang' : null), 1500)
    expect(failed(trial).map(({ step }) => step)).toEqual(['look'])
    expect(statuses(trial)['grant']).toBe('skipped')
    await eventually('what was written is removed', async () => (await left()).length === 0)
  })

  test.each<[string, Partial<StorageSettings>, string]>([
    [
      'a wrong secret',
      { credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: 'x' } },
      'secret_access_key',
    ],
    [
      'an unknown access key',
      { credentials: { accessKeyId: 'NOBODY', secretAccessKey: SECRET } },
      'access_key_id',
    ],
    ['no such bucket', { bucket: 'nowhere' }, 'Make the bucket'],
    ['nothing that listens', { endpoint: 'http://127.0.0.1:9' }, 'nothing listens there'],
    ['an unknown host', { endpoint: 'http://no-such-host.invalid' }, 'host name'],
    ['https where http is spoken', { endpoint: '' }, 'http instead of https'],
  ])('with %s: the advice says what to correct', async (_what, over, advice) => {
    const endpoint = over.endpoint === '' ? s3.endpoint.replace('http:', 'https:') : over.endpoint
    const trial = await look({ ...over, ...(endpoint === undefined ? {} : { endpoint }) })
    expect(trial.ok).toBe(false)
    expect(failed(trial)).toHaveLength(1)
    expect(failed(trial)[0]!.step).toBe('write')
    expect(failed(trial)[0]!.advice).toContain(advice)
  })

  test.each([
    ['write', 's3:PutObject', ({ method }) => method === 'PUT'],
    ['list', 's3:ListBucket', ({ url }) => url?.includes('list-type') === true],
    ['delete', 's3:DeleteObject', ({ method }) => method === 'POST'],
  ] satisfies readonly [string, string, (request: Parameters<Bend>[0]) => boolean][])(
    'that forbids %s says which right is missing',
    async (step, right, isForbidden) => {
      const trial = await through((request) =>
        isForbidden(request) ? { status: 403, code: 'AccessDenied' } : null,
      )
      expect(failed(trial)).toMatchObject([
        { step, problem: '403 AccessDenied', advice: expect.stringContaining(right) as string },
      ])
    },
  )

  test('that gives whole objects for ranges is no storage for us', async () => {
    const trial = await through(({ headers }) => (headers.range === undefined ? null : 'whole'))
    expect(failed(trial).map(({ step }) => step)).toContain('range')
  })

  test('that overwrites all the same can be used, with a warning', async () => {
    const trial = await through(({ headers }) =>
      headers['if-none-match'] === undefined ? null : { status: 200 },
    )
    expect(trial.ok).toBe(true)
    expect(statuses(trial)['overwrite']).toBe('warning')
    expect(trial.capabilities?.conditional_put).toBe(false)
  })

  test('that takes other bytes than a grant was signed for is refused', async () => {
    const bodies = new Set<string>()
    const trial = await through(({ method, headers }) => {
      const sha256 = String(headers['x-amz-content-sha256'])
      // The first PUT with a hash that was seen before is the one with the other bytes: it would be refused behind us.
      if (method !== 'PUT' || headers['if-none-match'] !== undefined) return null
      if (!bodies.has(sha256)) bodies.add(sha256)
      else return { status: 200 }
      return null
    })
    expect(trial.ok).toBe(false)
    expect(failed(trial)[0]).toMatchObject({ step: 'grant' })
    expect(failed(trial)[0]!.problem).toContain('other bytes')
    expect(trial.capabilities?.content_bound_grants).toBe(false)
  })

  test('that acts on headers that nobody signed can be used, with a warning', async () => {
    const trial = await through(({ headers }) =>
      headers['x-amz-meta-holdfast'] === undefined ? null : { status: 200 },
    )
    expect(trial.ok).toBe(true)
    expect(statuses(trial)['grant']).toBe('warning')
    expect(trial.capabilities?.content_bound_grants).toBe(true)
  })

  test('whose clock is far from ours passes, with the difference', async () => {
    ours.shift = -3 * HOUR
    const trial = await through(() => null)
    expect(trial.ok).toBe(true)
    expect(trial.capabilities?.clock_skew_ms).toBeGreaterThan(2 * HOUR)
    expect(statuses(trial)['clock']).toBe('warning')
  })
})
