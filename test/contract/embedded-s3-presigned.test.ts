import { createHash } from 'node:crypto'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { MINUTE } from '#shared/units.ts'
import {
  presign,
  send,
  startS3,
  type RawRequest,
  type RawResponse,
  type TestS3,
} from '../support/s3-server.ts'

let s3: TestS3
const Bucket = 'signed'

beforeAll(async () => {
  s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket }))
})

beforeEach(() => {
  s3.clock.shift = 0
})

afterAll(async () => {
  await s3.close()
})

const body = Buffer.from('the body that was signed')

const summary = ({ status, code }: RawResponse): readonly [number, string | undefined] => [
  status,
  code,
]

const without = (headers: Record<string, string>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([known]) => known !== name))

describe('a presigned request', () => {
  const get: RawRequest = { method: 'GET', path: `/${Bucket}/pre`, query: { 'x-id': 'GetObject' } }

  beforeAll(async () => {
    await s3.client().send(new PutObjectCommand({ Bucket, Key: 'pre', Body: 'presigned' }))
  })

  test('is believed, from the SDK too', async () => {
    expect((await send(s3.port, await presign(s3.port, get))).text).toBe('presigned')
    const url = await getSignedUrl(s3.client(), new GetObjectCommand({ Bucket, Key: 'pre' }))
    expect(await (await fetch(url)).text()).toBe('presigned')
  })

  test('stores a body that nobody signed, and one whose MD5 was signed only if it is that', async () => {
    const url = await getSignedUrl(s3.client(), new PutObjectCommand({ Bucket, Key: 'pre-put' }))
    const stored = await fetch(url, { method: 'PUT', body: Buffer.from('free') })
    expect(stored.status).toBe(200)
    const bound: RawRequest = {
      method: 'PUT',
      path: `/${Bucket}/pre-md5`,
      headers: { 'content-md5': createHash('md5').update(body).digest('base64') },
      body,
    }
    const signed = await presign(s3.port, bound)
    expect((await send(s3.port, signed)).status).toBe(200)
    expect(summary(await send(s3.port, { ...signed, body: Buffer.from('forged') }))).toEqual([
      400,
      'BadDigest',
    ])
    const bare = without(signed.headers, 'content-md5')
    expect(summary(await send(s3.port, { ...signed, headers: bare }))).toEqual([
      403,
      'SignatureDoesNotMatch',
    ])
  })

  test('bound to a payload hash takes no other body', async () => {
    const hash = createHash('sha256').update(body).digest('hex')
    const bound: RawRequest = {
      method: 'PUT',
      path: `/${Bucket}/pre-sha`,
      headers: { 'x-amz-content-sha256': hash },
      body,
    }
    const signed = await presign(s3.port, bound)
    expect((await send(s3.port, signed)).status).toBe(200)
    const forged = { ...signed, body: Buffer.from('the body that was forged') }
    expect(summary(await send(s3.port, forged))).toEqual([400, 'XAmzContentSHA256Mismatch'])
  })

  test.each<readonly [string, (url: string) => string, number, string]>([
    ['path', (url) => url.replace('/pre?', '/prf?'), 403, 'SignatureDoesNotMatch'],
    [
      'expiry',
      (url) => url.replace('X-Amz-Expires=900', 'X-Amz-Expires=901'),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'expiry, too long',
      (url) => url.replace('X-Amz-Expires=900', 'X-Amz-Expires=604801'),
      400,
      'AuthorizationQueryParametersError',
    ],
    [
      'signature',
      (url) => url.replace(/X-Amz-Signature=\w{8}/, 'X-Amz-Signature=01234567'),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'signature, now absent',
      (url) => url.replace(/&?X-Amz-Signature=\w+/, ''),
      400,
      'AuthorizationQueryParametersError',
    ],
    [
      'parameter',
      (url) => url.replace('x-id=GetObject', 'x-id=PutObject'),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'query by an override',
      (url) => `${url}&response-content-type=text%2Fhtml`,
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'access key',
      (url) => url.replace('HOLDFASTTESTKEY', 'SOMEBODYELSE'),
      403,
      'InvalidAccessKeyId',
    ],
  ])('is refused with an altered %s', async (_, alter, status, code) => {
    const signed = await presign(s3.port, get)
    expect(alter(signed.url)).not.toBe(signed.url)
    expect(summary(await send(s3.port, { ...signed, url: alter(signed.url) }))).toEqual([
      status,
      code,
    ])
  })

  test('is refused for another method, with unsigned x-amz- headers, and beside an Authorization', async () => {
    const signed = await presign(s3.port, get)
    expect(summary(await send(s3.port, { ...signed, method: 'DELETE' }))).toEqual([
      403,
      'SignatureDoesNotMatch',
    ])
    const extra = { ...signed.headers, 'x-amz-meta-x': 'y' }
    expect(summary(await send(s3.port, { ...signed, headers: extra }))).toEqual([
      403,
      'AccessDenied',
    ])
    const both = { ...signed.headers, authorization: 'AWS4-HMAC-SHA256 x' }
    expect(summary(await send(s3.port, { ...signed, headers: both }))).toEqual([
      400,
      'InvalidArgument',
    ])
  })

  test('lives exactly as long as it says', async () => {
    const signed = await presign(s3.port, get, { expiresIn: 60 })
    s3.clock.shift = 55_000
    expect((await send(s3.port, signed)).status).toBe(200)
    s3.clock.shift = 61_000
    expect(summary(await send(s3.port, signed))).toEqual([403, 'AccessDenied'])
    s3.clock.shift = -16 * MINUTE
    expect(summary(await send(s3.port, signed))).toEqual([403, 'AccessDenied'])
  })
})

test('nobody without a signature gets anything', async () => {
  for (const [method, path] of [
    ['GET', '/'],
    ['GET', `/${Bucket}`],
    ['GET', `/${Bucket}/pre`],
    ['PUT', `/${Bucket}/x`],
    ['DELETE', `/${Bucket}/pre`],
    ['POST', `/${Bucket}?delete`],
  ] as const) {
    const response = await fetch(`${s3.endpoint}${path}`, { method })
    expect([method, path, response.status]).toEqual([method, path, 403])
  }
})
