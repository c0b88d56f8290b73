import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { md5, pattern, refused } from '../support/s3-hand.ts'
import { sdkClient, spawnS3, temporaryFolder, type S3Process } from '../support/s3-server.ts'

const Bucket = 'crash'
const processes: S3Process[] = []
const clients: S3Client[] = []
let folder = ''

beforeEach(async () => {
  folder = await temporaryFolder()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  for (const running of processes.splice(0)) await running.kill()
  await rm(folder, { recursive: true, force: true })
})

const start = async (): Promise<{ running: S3Process; client: S3Client }> => {
  const running = await spawnS3(folder)
  processes.push(running)
  const client = sdkClient(running.port, { requestChecksumCalculation: 'WHEN_REQUIRED' })
  clients.push(client)
  await client.send(new CreateBucketCommand({ Bucket }))
  return { running, client }
}

const temps = async (): Promise<readonly string[]> => {
  const parent = join(folder, '.holdfast-s3', 'temp')
  const found = []
  for (const name of await readdir(parent)) found.push(...(await readdir(join(parent, name))))
  return found
}

const get = async (
  client: S3Client,
  Key: string,
): Promise<{ etag: string; body: Buffer; mark: string }> => {
  const {
    Body,
    ETag = '',
    Metadata = {},
  } = await client.send(new GetObjectCommand({ Bucket, Key }))
  const body = Buffer.from((await Body?.transformToByteArray()) ?? [])
  return { etag: ETag, body, mark: Metadata['mark'] ?? '' }
}

describe('of racing create-only writers', () => {
  const race = async (
    writers: readonly S3Client[],
    rounds: number,
    key: (round: number) => string,
  ): Promise<void> => {
    for (let round = 0; round < rounds; round += 1) {
      const Key = key(round)
      const ends = await Promise.all(
        Array.from({ length: 8 }, async (_, at) => {
          const client = writers[at % writers.length]!
          const Body = Buffer.from(`writer ${at} of round ${round}`.padEnd(2000, '.'))
          return refused(
            client.send(
              new PutObjectCommand({
                Bucket,
                Key,
                Body,
                IfNoneMatch: '*',
                Metadata: { mark: String(at) },
              }),
            ),
          )
        }),
      )
      const winners = ends.flatMap(([name], at) => (name === 'no error' ? [at] : []))
      const losers = ends.filter(([name]) => name !== 'no error')
      expect(winners.length).toBe(1)
      expect(losers).toEqual(losers.map(() => ['PreconditionFailed', 412]))
      const { body, mark } = await get(writers[0]!, Key)
      expect(body.toString()).toContain(`writer ${winners[0] ?? -1} of round ${round}`)
      expect(mark).toBe(String(winners[0]))
    }
  }

  test('on one process exactly one wins', async () => {
    const { client } = await start()
    await race([client], 30, (round) => `deep/${round % 7}/key-${round}`)
  })

  test('on two processes over one folder exactly one wins', async () => {
    const { client } = await start()
    const { client: other } = await start()
    await race([client, other], 40, (round) => `deep/${round % 7}/key-${round}`)
  })

  test('none wins twice while folders come and go around the key', async () => {
    const { client } = await start()
    const { client: other } = await start()
    let done = false
    // Makes `x` a folder, and lets it vanish again, so that the key `x` changes its place on the disk all the time.
    const disturb = async (by: S3Client, Key: string): Promise<void> => {
      while (!done) {
        await by.send(new PutObjectCommand({ Bucket, Key, Body: 'd' }))
        await by.send(new DeleteObjectCommand({ Bucket, Key }))
      }
    }
    const disturbing = Promise.all([disturb(client, 'x/1'), disturb(other, 'x/2')])
    for (let round = 0; round < 40; round += 1) {
      const put = async (
        by: S3Client,
        at: number,
      ): Promise<readonly [string, number | undefined]> =>
        refused(
          by.send(new PutObjectCommand({ Bucket, Key: 'x', Body: `of ${at}`, IfNoneMatch: '*' })),
        )
      const ends = await Promise.all([client, other, client, other].map(put))
      const winners = ends.flatMap(([name], at) => (name === 'no error' ? [at] : []))
      expect(winners.length).toBeLessThanOrEqual(1)
      for (const [name, status] of ends) {
        expect(['no error', 'PreconditionFailed', 'ConditionalRequestConflict']).toContain(name)
        expect([undefined, 412, 409]).toContain(status)
      }
      if (winners.length === 1)
        expect((await get(other, 'x')).body.toString()).toBe(`of ${winners[0] ?? -1}`)
      await client.send(new DeleteObjectCommand({ Bucket, Key: 'x' }))
      expect(await refused(get(other, 'x'))).toEqual(['NoSuchKey', 404])
    }
    done = true
    await disturbing
  })
})

describe('killed while it takes an object', () => {
  test('has afterwards all of it or nothing, the same in list, head and get, and no left-overs', async () => {
    const bodies = new Map<string, Buffer>()
    const put = async (client: S3Client, Key: string, Body: Buffer): Promise<boolean> => {
      const more = { Metadata: { mark: md5(Body) }, ContentType: 'x/y' }
      const sent = client.send(
        new PutObjectCommand({ Bucket, Key, Body, IfNoneMatch: '*', ...more }),
      )
      return (await refused(sent))[0] === 'no error'
    }
    const check = async (client: S3Client): Promise<void> => {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket }))
      expect(Contents.map((one) => one.Key).toSorted()).toEqual([...bodies.keys()].toSorted())
      for (const { Key = '', ETag, Size } of Contents) {
        const { body, etag, mark } = await get(client, Key)
        expect(body.equals(bodies.get(Key) ?? Buffer.alloc(0))).toBe(true)
        expect([ETag, Size]).toEqual([etag, body.length])
        expect([etag, mark]).toEqual([`"${md5(body)}"`, md5(body)])
      }
    }
    let { running, client } = await start()
    const whole = pattern(6 * MiB, 99)
    bodies.set('packs/whole', whole)
    const begun = performance.now()
    expect(await put(client, 'packs/whole', whole)).toBe(true)
    const usual = performance.now() - begun
    // The kills sweep over the time that one PUT takes, from before its first byte to about its answer.
    for (let round = 0; round < 10; round += 1) {
      const Key = `packs/${round}`
      const body = pattern(6 * MiB, round)
      const putting = put(client, Key, body)
      if (round > 0) await Promise.race([putting, wait((usual * round) / 8)])
      await running.kill()
      const acknowledged = await putting
      const again = await start()
      running = again.running
      client = again.client
      const head = await client.send(new HeadObjectCommand({ Bucket, Key })).catch(() => null)
      if (acknowledged) expect(head).not.toBeNull()
      if (round === 0) expect(head).toBeNull()
      if (head !== null) bodies.set(Key, body)
      await check(client)
      expect(await temps()).toEqual([])
    }
  })

  test('never mixes the bytes of one version with the metadata of another', async () => {
    // All versions have one length, so only the time tells their records apart.
    const version = (...name: readonly number[]): { Body: string; Metadata: { mark: string } } => {
      const Body = `version ${name.join('-')}`.padEnd(3000, '.')
      return { Body, Metadata: { mark: createHash('sha1').update(Body).digest('hex') } }
    }
    for (let round = 0; round < 6; round += 1) {
      const { running, client } = await start()
      await client.send(new PutObjectCommand({ Bucket, Key: 'k', ...version(round, 9, 0) }))
      let stop = false
      const write = async (writer: number): Promise<void> => {
        for (let at = 0; !stop; at += 1) {
          const end = await refused(
            client.send(new PutObjectCommand({ Bucket, Key: 'k', ...version(round, writer, at) })),
          )
          if (end[0] !== 'no error') return
        }
      }
      const writing = Promise.all([write(0), write(1), write(2)])
      for (let reads = 0; reads < 20; reads += 1) {
        const { body, mark, etag } = await get(client, 'k')
        expect(mark).toBe(createHash('sha1').update(body).digest('hex'))
        expect(etag).toBe(`"${md5(body)}"`)
      }
      await running.kill()
      stop = true
      await writing
      const { running: next, client: after } = await start()
      const { body, mark, etag } = await get(after, 'k')
      expect(mark).toBe(createHash('sha1').update(body).digest('hex'))
      expect(etag).toBe(`"${md5(body)}"`)
      await next.kill()
    }
  })

  test('leaves the temporary files of a second, living process alone', async () => {
    const { client } = await start()
    const { running: dying } = await start()
    await dying.kill()
    await start()
    const parents = await readdir(join(folder, '.holdfast-s3', 'temp'))
    expect(parents.length).toBe(2)
    await client.send(new PutObjectCommand({ Bucket, Key: 'still', Body: 'works' }))
    expect((await get(client, 'still')).body.toString()).toBe('works')
  })
})
