import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hasCode } from '#shared/errors.ts'
import { MiB } from '#shared/units.ts'
import { endOf, startS3Thread, type S3Thread } from '#server/io/embedded/s3/start.ts'
import { KEYS, keptLog, REGION, sdkClient, type LogLine } from '../support/s3-server.ts'

let folder = ''
let thread: S3Thread | null = null

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'holdfast-s3-thread-'))
})

afterEach(async () => {
  await thread?.close()
  thread = null
  await rm(folder, { recursive: true, force: true })
})

const settings = (port = 0): Parameters<typeof startS3Thread>[0] => ({
  folder,
  host: '127.0.0.1',
  port,
  region: REGION,
  keys: KEYS,
})

test('an endpoint in a thread serves, and is gone when it was closed', async () => {
  thread = await startS3Thread(settings())
  const client = sdkClient(thread.port)
  await client.send(new CreateBucketCommand({ Bucket: 'threaded' }))
  await client.send(new PutObjectCommand({ Bucket: 'threaded', Key: 'k', Body: 'v' }))
  const got = await client.send(new GetObjectCommand({ Bucket: 'threaded', Key: 'k' }))
  expect(await got.Body?.transformToString()).toBe('v')
  client.destroy()
  await thread.close()
  await thread.close()
  expect(await thread.ended).toBeNull()
  await expect(fetch(`http://127.0.0.1:${thread.port}/`)).rejects.toThrow()
})

test('closing waits for a request that is under way, and not for idle connections', async () => {
  thread = await startS3Thread(settings())
  const client = sdkClient(thread.port)
  await client.send(new CreateBucketCommand({ Bucket: 'threaded' }))
  const parent = join(folder, '.holdfast-s3', 'temp')
  const [own = ''] = await readdir(parent)
  const Body = Buffer.alloc(32 * MiB, 1)
  const putting = client.send(new PutObjectCommand({ Bucket: 'threaded', Key: 'k', Body }))
  while ((await readdir(join(parent, own))).length === 0) await wait(1)
  const closing = thread.close()
  expect((await putting).ETag).toBeTypeOf('string')
  await closing
  expect(await thread.ended).toBeNull()
  client.destroy()
})

test('a port that is taken and a folder that cannot be one are said at the start', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const address = other.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const refused = async (work: Promise<S3Thread>): Promise<boolean> => {
    try {
      thread = await work
      return false
    } catch (error) {
      return hasCode(error, 'STORAGE_UNAVAILABLE')
    }
  }
  expect(await refused(startS3Thread(settings(port)))).toBe(true)
  await writeFile(join(folder, 'file'), '')
  expect(await refused(startS3Thread({ ...settings(), folder: join(folder, 'file') }))).toBe(true)
  await new Promise((resolve) => other.close(resolve))
})

test('the thread passes its log lines on', async () => {
  const lines: LogLine[] = []
  thread = await startS3Thread(settings(), keptLog(lines))
  const client = sdkClient(thread.port)
  await client.send(new CreateBucketCommand({ Bucket: 'threaded' }))
  // Fails in a way that the endpoint does not expect.
  await rm(join(folder, '.holdfast-s3', 'temp'), { recursive: true })
  const put = client.send(new PutObjectCommand({ Bucket: 'threaded', Key: 'k', Body: 'v' }))
  await expect(put).rejects.toThrow('internal error')
  expect(lines.map(({ level }) => level)).toContain('error')
  client.destroy()
})

test('a thread that dies by itself says why, and one that was told to end says nothing', async () => {
  const thrown = new Worker('setTimeout(() => { throw new Error("broken inside") })', {
    eval: true,
  })
  expect((await endOf(thrown, () => false))?.message).toBe('broken inside')
  const left = new Worker('process.exit(3)', { eval: true })
  const why = await endOf(left, () => false)
  expect(hasCode(why, 'INTERNAL') && why.details['problem']).toContain('code 3')
  const wanted = new Worker('process.exit(3)', { eval: true })
  expect(await endOf(wanted, () => true)).toBeNull()
})
