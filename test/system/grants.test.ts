import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { openS3Store, type S3Store } from '#server/io/s3/store.ts'
import { MINUTE } from '#shared/units.ts'
import { replayAtWrongTime, replayGrant, type ReplayPlace } from '../support/grant-replay.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { type Recorder, startRecorder } from '../support/recorder.ts'
import { ACCESS_KEY, REGION, SECRET, startS3, type TestS3 } from '../support/s3-server.ts'
import { sameTree } from '../support/same-tree.ts'
import { seeded } from '../support/seeded.ts'
import { signedAt, type UsedGrant, usedGrants } from '../support/used-grants.ts'
import { sendOnWire } from '../support/wire-request.ts'

const BUCKET = 'vaults'
const PREFIX = 'some/prefix'
const folder = mkdtempSync(join(tmpdir(), 'hf-grants-'))
const source = join(folder, 'source')
const stop = new AbortController().signal
const program = fileURLToPath(new URL('../../server/main.ts', import.meta.url))

/** What was started, ended in reverse order. */
const owned = new AsyncDisposableStack()
owned.defer(() => rmSync(folder, { recursive: true, force: true }))

let s3: TestS3
let recorders: { readonly plane: Recorder; readonly storage: Recorder }
let instance: Instance
let agent: Protected
let store: S3Store
let place: ReplayPlace
let used: readonly UsedGrant[]

const fill = (): void => {
  mkdirSync(join(source, 'deep'), { recursive: true })
  for (let n = 0; n < 40; n += 1) writeFileSync(join(source, 'deep', `f${n}`), `${n}\n`.repeat(n))
  writeFileSync(join(source, 'large'), randomBytes(700_000))
}

const record = async (url: string): Promise<Recorder> =>
  owned.adopt(await startRecorder(url), async (one) => one.close())

const addStorage = async (): Promise<string> => {
  const added = await instance.call('POST', '/v1/storages', {
    name: 'recorded',
    provider: 'other',
    endpoint: recorders.storage.url,
    region: REGION,
    bucket: BUCKET,
    prefix: PREFIX,
    access_key_id: ACCESS_KEY,
    secret_access_key: SECRET,
  })
  return (added['data'] as { id: string }).id
}

/** Every key with its ETag. */
const contents = async (): Promise<string[]> => {
  const all: string[] = []
  for await (const key of store.list('', stop))
    all.push(`${key} ${(await store.head(key, stop))?.etag ?? ''}`)
  return all
}

beforeAll(async () => {
  fill()
  s3 = owned.adopt(await startS3(), async (one) => one.close())
  await s3.client().send(new CreateBucketCommand({ Bucket: BUCKET }))
  const env = { HOLDFAST_PORT: '0', HOLDFAST_S3_PORT: '0' }
  instance = owned.adopt(await startInstance(folder, { env }), async (one) => one.close())
  recorders = { plane: await record(instance.url), storage: await record(s3.endpoint) }
  agent = await instance.protect('recorded', [source], {
    storage: await addStorage(),
    url: recorders.plane.url,
  })
  expect((await instance.backup(agent.jobId))['status']).toBe('completed')
  writeFileSync(join(source, 'deep', 'added'), 'more')
  expect((await instance.backup(agent.jobId))['status']).toBe('completed')
  agent.agent.kill('SIGTERM')
  used = usedGrants(recorders)
  store = openS3Store(
    {
      name: 'direct',
      endpoint: s3.endpoint,
      region: REGION,
      bucket: BUCKET,
      prefix: PREFIX,
      pathStyle: true,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
    },
    true,
    systemClock,
  )
  owned.defer(() => store.close())
  place = {
    send: async (request) => sendOnWire(s3.port, request),
    store,
    bucket: BUCKET,
    pathOf: (key) => `/${BUCKET}/${PREFIX}/${key}`,
    chance: seeded('grants'),
  }
})
afterAll(async () => owned.disposeAsync())

describe('the grants of a recorded run', () => {
  test('are all there are: one for every object, of every class', async () => {
    const classes = new Set(used.map(({ wanted }) => wanted.class))
    expect([...classes].sort()).toEqual(['key', 'pack', 'record', 'signer', 'tree'])
    const keys = used.map(({ grant }) => grant.key)
    // The control plane's own word that there is a vault.
    const others = (await Array.fromAsync(store.list('', stop))).filter(
      (key) => !keys.includes(key),
    )
    expect(others.map((key) => key.split('/').at(-1))).toEqual(['vault.json'])
    expect(new Set(keys).size).toBe(keys.length)
  })

  test('are good for their one PUT again, and for nothing else', async () => {
    const before = await contents()
    for (const use of used) {
      const { tried, statuses, violations } = await replayGrant(place, use, used)
      expect({ key: use.grant.key, statuses, violations }).toEqual({
        key: use.grant.key,
        statuses,
        violations: [],
      })
      expect(tried).toBeGreaterThan(80)
    }
    expect(await contents()).toEqual(before)
  })

  test('are refused 16 minutes late, and 16 minutes early', async () => {
    for (const [minutes, name] of [
      [16, 'late'],
      [-16, 'early'],
    ] as const) {
      for (const use of used) {
        const later: ReplayPlace = {
          ...place,
          send: async (request) => {
            s3.clock.shift = signedAt(use) + minutes * MINUTE - Date.now()
            return place.send(request).finally(() => (s3.clock.shift = 0))
          },
        }
        const { violations, statuses } = await replayAtWrongTime(later, use, name)
        expect([violations, statuses]).toEqual([[], { '403 RequestTimeTooSkewed': 2 }])
        await store.put(use.grant.key, use.body, { ifAbsent: true }, stop)
      }
    }
  })

  test('leave what they wrote whole: the backup is restored from it', () => {
    const target = join(folder, 'restored')
    const bucket = join(s3.folder, BUCKET, PREFIX)
    const args = ['open', bucket, '--identity', instance.kit, 'restore', target]
    execFileSync(process.execPath, [program, ...args], { stdio: 'pipe' })
    expect(sameTree(source, join(target, source))).toEqual([])
  })
})
