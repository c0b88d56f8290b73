import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteBucketCorsCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketCorsCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectAclCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  PutBucketCorsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { describe, expect, test } from 'vitest'
import { Bucket, refused, handForFile } from '../support/s3-hand.ts'

const { hand, s3, client } = handForFile()

describe('a bucket', () => {
  test('is made, found, listed and removed', async () => {
    const Other = { Bucket: 'another-bucket' }
    await client.send(new CreateBucketCommand(Other))
    await client.send(new CreateBucketCommand(Other))
    await client.send(new HeadBucketCommand(Other))
    const { Buckets = [] } = await client.send(new ListBucketsCommand({}))
    expect(Buckets.map(({ Name }) => Name)).toEqual(['another-bucket', Bucket])
    await client.send(new PutObjectCommand({ ...Other, Key: 'deep/er/key', Body: 'x' }))
    expect(await refused(client.send(new DeleteBucketCommand(Other)))).toEqual([
      'BucketNotEmpty',
      409,
    ])
    await client.send(new DeleteObjectCommand({ ...Other, Key: 'deep/er/key' }))
    await mkdir(join(s3.folder, 'another-bucket', 'left', 'over'), { recursive: true })
    await client.send(new DeleteBucketCommand(Other))
    expect(await refused(client.send(new HeadBucketCommand(Other)))).toEqual(['NotFound', 404])
    expect(await refused(client.send(new DeleteBucketCommand(Other)))).toEqual([
      'NoSuchBucket',
      404,
    ])
  })

  test.each(['ab', 'Upper-case', '-lead', '127.0.0.1', 'a..b', '.holdfast-s3', 'x'.repeat(64)])(
    'cannot be called %s',
    async (name) => {
      const made = await refused(client.send(new CreateBucketCommand({ Bucket: name })))
      expect(made[0]).toMatch(/InvalidBucketName|Error/)
      expect(await readdir(s3.folder)).toEqual(['.holdfast-s3', Bucket])
    },
  )

  test('says where it is and that it has no versions', async () => {
    expect(
      (await client.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint ?? '',
    ).toBe('')
    expect((await client.send(new GetBucketVersioningCommand({ Bucket }))).Status).toBeUndefined()
    const on = new PutBucketVersioningCommand({
      Bucket,
      VersioningConfiguration: { Status: 'Enabled' },
    })
    expect(await refused(client.send(on))).toEqual(['NotImplemented', 501])
    expect(await refused(client.send(new GetObjectAclCommand({ Bucket, Key: 'x' })))).toEqual([
      'NotImplemented',
      501,
    ])
  })

  test('deletes many objects at once, quietly too, and says what it could not', async () => {
    const objects = Array.from({ length: 40 }, (_, at) => ({ Key: `many/${at}/<&>${at}` }))
    await Promise.all(objects.map(async ({ Key }) => hand.put(Key, 'x')))
    const two = await client.send(
      new DeleteObjectsCommand({
        Bucket,
        Delete: { Objects: [{ Key: 'many/0/<&>0', VersionId: 'abc' }, { Key: 'many/1/<&>1' }] },
      }),
    )
    expect(two.Deleted?.map(({ Key }) => Key)).toEqual(['many/1/<&>1'])
    expect(two.Errors?.map(({ Key, Code }) => [Key, Code])).toEqual([
      ['many/0/<&>0', 'NoSuchVersion'],
    ])
    const quiet = await client.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Quiet: true, Objects: objects } }),
    )
    expect(quiet.Deleted ?? []).toEqual([])
    expect(await hand.keys('many/')).toEqual([])
  })

  test('lets pages of the named origins in, and no others', async () => {
    const ask = async (headers: Record<string, string>): Promise<Response> =>
      fetch(`${s3.endpoint}/${Bucket}/x`, { method: 'OPTIONS', headers })
    const preflight = { origin: 'https://app.example', 'access-control-request-method': 'PUT' }
    expect((await ask(preflight)).status).toBe(403)
    expect(await refused(client.send(new GetBucketCorsCommand({ Bucket })))).toEqual([
      'NoSuchCORSConfiguration',
      404,
    ])
    const rule = {
      AllowedOrigins: ['https://*.example'],
      AllowedMethods: ['GET', 'PUT'],
      AllowedHeaders: ['x-amz-*'],
      ExposeHeaders: ['ETag'],
      MaxAgeSeconds: 300,
    }
    await client.send(
      new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules: [rule] } }),
    )
    expect((await client.send(new GetBucketCorsCommand({ Bucket }))).CORSRules).toEqual([rule])
    const allowed = await ask({ ...preflight, 'access-control-request-headers': 'X-Amz-Date' })
    expect(allowed.status).toBe(200)
    expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(allowed.headers.get('access-control-max-age')).toBe('300')
    expect((await ask({ ...preflight, origin: 'https://evil.test' })).status).toBe(403)
    expect((await ask({ ...preflight, 'access-control-request-method': 'DELETE' })).status).toBe(
      403,
    )
    expect((await ask({ ...preflight, 'access-control-request-headers': 'cookie' })).status).toBe(
      403,
    )
    await hand.put('cors', 'shared')
    const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: 'cors' }))
    const mine = await fetch(url, { headers: { origin: 'https://app.example' } })
    expect(mine.headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(mine.headers.get('access-control-expose-headers')).toBe('ETag')
    const theirs = await fetch(url, { headers: { origin: 'https://evil.test' } })
    expect(theirs.headers.get('access-control-allow-origin')).toBeNull()
    await client.send(new DeleteBucketCorsCommand({ Bucket }))
    expect((await ask(preflight)).status).toBe(403)
  })

  test('can be named by the host', async () => {
    const own = s3.client({ endpoint: `http://localhost:${s3.port}`, forcePathStyle: false })
    own.middlewareStack.add(
      (next) => async (args) => {
        const request: unknown = args.request
        // <bucket>.localhost need not resolve here: connect to the address, and keep the Host header that was signed.
        if (typeof request === 'object' && request !== null)
          Reflect.set(request, 'hostname', '127.0.0.1')
        return next(args)
      },
      { step: 'finalizeRequest', priority: 'low', name: 'connect' },
    )
    await own.send(new PutObjectCommand({ Bucket, Key: 'hosted/key', Body: 'by host' }))
    expect((await hand.read('hosted/key')).toString()).toBe('by host')
  })
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
