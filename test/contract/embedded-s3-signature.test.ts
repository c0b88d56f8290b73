import { createHash } from 'node:crypto'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { MINUTE } from '#shared/units.ts'
import {
  send,
  sign,
  signAndSend,
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
const request: RawRequest = {
  method: 'PUT',
  path: `/${Bucket}/dir/the%20key`,
  query: { 'x-id': 'PutObject', empty: '' },
  headers: {
    'content-type': 'text/plain',
    'content-length': String(body.length),
    'content-md5': createHash('md5').update(body).digest('base64'),
    'x-amz-meta-colour': 'blue',
  },
  body,
}

type Signed = Awaited<ReturnType<typeof sign>>

const ask = async (altered: (signed: Signed) => Partial<Signed>): Promise<RawResponse> => {
  const signed = await sign(s3.port, request)
  return send(s3.port, { ...signed, ...altered(signed) })
}

const summary = ({ status, code }: RawResponse): readonly [number, string | undefined] => [
  status,
  code,
]

const without = (headers: Record<string, string>, name: string): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([known]) => known !== name))

describe('a request signed in its headers', () => {
  test('is believed when nothing was altered', async () => {
    expect(summary(await ask(() => ({})))).toEqual([200, undefined])
  })

  const flip = (text: string): string =>
    text.endsWith('0') ? `${text.slice(0, -1)}1` : `${text.slice(0, -1)}0`
  const authorization =
    (from: RegExp | string, to: string) =>
    ({ headers }: Signed): Partial<Signed> => ({
      headers: { ...headers, authorization: (headers['authorization'] ?? '').replace(from, to) },
    })
  const header =
    (name: string, value: string) =>
    ({ headers }: Signed): Partial<Signed> => ({ headers: { ...headers, [name]: value } })

  test.each<readonly [string, (signed: Signed) => Partial<Signed>, number, string]>([
    ['method', () => ({ method: 'POST' }), 403, 'SignatureDoesNotMatch'],
    ['path', ({ url }) => ({ url: url.replace('dir/', 'die/') }), 403, 'SignatureDoesNotMatch'],
    [
      'query value',
      ({ url }) => ({ url: url.replace('PutObject', 'GetObject') }),
      403,
      'SignatureDoesNotMatch',
    ],
    ['query by an addition', ({ url }) => ({ url: `${url}&acl=` }), 403, 'SignatureDoesNotMatch'],
    [
      'query by a removal',
      ({ url }) => ({ url: url.replace('&empty=', '') }),
      403,
      'SignatureDoesNotMatch',
    ],
    ['host', header('host', 'evil.example'), 403, 'SignatureDoesNotMatch'],
    ['content-type', header('content-type', 'text/html'), 403, 'SignatureDoesNotMatch'],
    [
      'content-md5',
      header('content-md5', createHash('md5').digest('base64')),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'content-length',
      (signed) => ({ ...header('content-length', '3')(signed), body: body.subarray(0, 3) }),
      403,
      'SignatureDoesNotMatch',
    ],
    ['user metadata', header('x-amz-meta-colour', 'red'), 403, 'SignatureDoesNotMatch'],
    ['metadata by an addition', header('x-amz-meta-more', 'x'), 403, 'AccessDenied'],
    [
      'metadata by a removal',
      ({ headers }) => ({ headers: without(headers, 'x-amz-meta-colour') }),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'payload hash',
      header('x-amz-content-sha256', createHash('sha256').digest('hex')),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'payload hash by leaving it to nobody',
      header('x-amz-content-sha256', 'UNSIGNED-PAYLOAD'),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'time',
      header(
        'x-amz-date',
        `${new Date(Date.now() - MINUTE).toISOString().replaceAll(/[-:]/g, '').slice(0, 15)}Z`,
      ),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'signature',
      authorization(/Signature=(\w+)/, `Signature=${'0'.repeat(64)}`),
      403,
      'SignatureDoesNotMatch',
    ],
    [
      'one digit of the signature',
      ({ headers }) => ({
        headers: { ...headers, authorization: flip(headers['authorization'] ?? '') },
      }),
      403,
      'SignatureDoesNotMatch',
    ],
    ['access key', authorization('HOLDFASTTESTKEY', 'SOMEBODYELSE'), 403, 'InvalidAccessKeyId'],
    ['list of signed headers', authorization('content-md5;', ''), 403, 'AccessDenied'],
    ['list of signed headers, host', authorization('host;', ''), 403, 'AccessDenied'],
    ['region', authorization('us-east-1', 'eu-west-1'), 400, 'AuthorizationHeaderMalformed'],
    ['service', authorization('/s3/', '/sts/'), 400, 'AuthorizationHeaderMalformed'],
    ['date of the scope', authorization(/\/20\d{6}\//, '/20200101/'), 403, 'SignatureDoesNotMatch'],
    ['algorithm', authorization('AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA1'), 400, 'InvalidRequest'],
    [
      'authorization, now absent',
      ({ headers }) => ({ headers: without(headers, 'authorization') }),
      403,
      'AccessDenied',
    ],
    ['authorization, now basic', header('authorization', 'Basic YWJj'), 400, 'InvalidRequest'],
    [
      'authorization, now of version 2',
      header('authorization', 'AWS KEY:sig'),
      400,
      'InvalidRequest',
    ],
    ['session token', header('x-amz-security-token', 'x'), 400, 'InvalidToken'],
    [
      'body',
      () => ({ body: Buffer.from('the body that was forged') }),
      400,
      'XAmzContentSHA256Mismatch',
    ],
  ])('is refused with an altered %s', async (_, altered, status, code) => {
    expect(summary(await ask(altered))).toEqual([status, code])
  })

  test('may have a Content-Type that is not signed, and nothing else', async () => {
    const kinds = { ...request, path: `/${Bucket}/kinds` }
    expect((await signAndSend(s3.port, kinds, { unsigned: ['content-type'] })).status).toBe(200)
    for (const name of ['content-md5', 'x-amz-meta-colour']) {
      expect(summary(await signAndSend(s3.port, kinds, { unsigned: [name] }))).toEqual([
        403,
        'AccessDenied',
      ])
    }
  })

  test('is refused when its secret or region is another', async () => {
    expect(summary(await signAndSend(s3.port, request, { secret: 'wrong' }))).toEqual([
      403,
      'SignatureDoesNotMatch',
    ])
    expect(summary(await signAndSend(s3.port, request, { region: 'eu-central-1' }))).toEqual([
      400,
      'AuthorizationHeaderMalformed',
    ])
  })

  test.each([
    [-14, 200],
    [14, 200],
    [-16, 403],
    [16, 403],
  ])('made at a clock %d minutes apart is answered %d', async (minutes, status) => {
    s3.clock.shift = minutes * MINUTE
    const response = await signAndSend(s3.port, request)
    expect(response.status).toBe(status)
    expect(response.code).toBe(status === 200 ? undefined : 'RequestTimeTooSkewed')
  })

  test('reads the same key however its path was encoded', async () => {
    const path = `/${Bucket}/a'(b)*!~c`
    const encoded = `/${Bucket}/a%27%28b%29%2A%21~c`
    await signAndSend(s3.port, { method: 'PUT', path: encoded, body })
    const signed = await sign(s3.port, { method: 'GET', path: encoded })
    expect((await send(s3.port, signed)).text).toBe(body.toString())
    expect((await send(s3.port, { ...signed, url: path })).text).toBe(body.toString())
  })
})
