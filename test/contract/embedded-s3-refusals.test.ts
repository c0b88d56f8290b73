import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MiB, SECOND } from '#shared/units.ts'
import { parseXml } from '#server/io/embedded/s3/parse-xml.ts'
import { Bucket } from '../support/s3-hand.ts'
import {
  send,
  sign,
  signAndSend,
  startS3,
  type RawResponse,
  type TestS3,
} from '../support/s3-server.ts'

let s3: TestS3

beforeAll(async () => {
  s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket }))
})

afterAll(async () => {
  await s3.close()
})

const summary = ({ status, code }: RawResponse): readonly [number, string | undefined] => [
  status,
  code,
]

test.each<readonly [string, string, Record<string, string>, readonly [number, string]]>([
  ['no length', `/${Bucket}/x`, { 'transfer-encoding': 'chunked' }, [411, 'MissingContentLength']],
  [
    'more than 5 GiB',
    `/${Bucket}/x`,
    { 'content-length': String(5 * 1024 ** 3 + 1) },
    [400, 'EntityTooLarge'],
  ],
  [
    'encryption',
    `/${Bucket}/x`,
    { 'x-amz-server-side-encryption': 'aws:kms' },
    [501, 'NotImplemented'],
  ],
  ['a lock', `/${Bucket}/x`, { 'x-amz-object-lock-mode': 'COMPLIANCE' }, [501, 'NotImplemented']],
  ['tags', `/${Bucket}/x`, { 'x-amz-tagging': 'a=b' }, [501, 'NotImplemented']],
  [
    'public access',
    `/${Bucket}/x`,
    { 'x-amz-acl': 'public-read' },
    [400, 'AccessControlListNotSupported'],
  ],
  [
    'another storage class',
    `/${Bucket}/x`,
    { 'x-amz-storage-class': 'GLACIER' },
    [400, 'InvalidStorageClass'],
  ],
  [
    'too much metadata',
    `/${Bucket}/x`,
    { 'x-amz-meta-a': 'x'.repeat(2048) },
    [400, 'MetadataTooLarge'],
  ],
  [
    'two checksums',
    `/${Bucket}/x`,
    { 'x-amz-checksum-crc32': 'AAAAAA==', 'x-amz-checksum-sha1': 'AAAA' },
    [400, 'InvalidRequest'],
  ],
  [
    'a checksum only promised',
    `/${Bucket}/x`,
    { 'x-amz-sdk-checksum-algorithm': 'CRC32' },
    [400, 'InvalidRequest'],
  ],
  ['a lone percent sign', `/${Bucket}/%`, {}, [400, 'InvalidURI']],
  ['a path that is no UTF-8', `/${Bucket}/%ff`, {}, [400, 'InvalidURI']],
  ['a bucket that climbs out', '/../x', {}, [400, 'InvalidBucketName']],
  ['our own hidden folder as bucket', '/.holdfast-s3/meta/x', {}, [400, 'InvalidBucketName']],
])('a PUT with %s is refused', async (_, path, headers, expected) => {
  const signed = await sign(
    s3.port,
    { method: 'PUT', path, headers },
    { payload: 'UNSIGNED-PAYLOAD' },
  )
  expect(summary(await send(s3.port, signed))).toEqual(expected)
})

test.each([
  'acl',
  'policy',
  'tagging',
  'lifecycle',
  'versioning',
  'website',
  'replication',
  'notification',
  'object-lock',
])(
  'putting a bucket its %s is refused as not implemented, and not taken for something else',
  async (name) => {
    const response = await signAndSend(s3.port, {
      method: 'PUT',
      path: `/${Bucket}`,
      query: { [name]: '' },
    })
    expect(summary(response)).toEqual([501, 'NotImplemented'])
    const object = await signAndSend(s3.port, {
      method: 'PUT',
      path: `/${Bucket}/obj`,
      query: { [name]: '' },
      body: Buffer.from('<x/>'),
    })
    expect(summary(object)).toEqual([501, 'NotImplemented'])
  },
)

describe('an XML body', () => {
  const remove = async (xml: string | Buffer): Promise<RawResponse> =>
    signAndSend(s3.port, {
      method: 'POST',
      path: `/${Bucket}`,
      query: { delete: '' },
      body: Buffer.from(xml),
    })

  test.each([
    ['', 'MalformedXML'],
    ['no XML', 'MalformedXML'],
    ['<Delete>', 'MalformedXML'],
    ['<Delete></Other>', 'MalformedXML'],
    ['<Delete/><Delete/>', 'MalformedXML'],
    ['<Delete></Delete>', 'MalformedXML'],
    ['<Other><Object><Key>a</Key></Object></Other>', 'MalformedXML'],
    ['<Delete><Object></Object></Delete>', 'MalformedXML'],
    [
      '<!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&e;</Key></Object></Delete>',
      'MalformedXML',
    ],
    ['<Delete><Object><Key>&unknown;</Key></Object></Delete>', 'MalformedXML'],
    ['<Delete><Object><Key>&#0;</Key></Object></Delete>', 'MalformedXML'],
    [`<Delete>${'<a>'.repeat(50)}${'</a>'.repeat(50)}</Delete>`, 'MalformedXML'],
    [`<Delete>${'<Object><Key>a</Key></Object>'.repeat(1001)}</Delete>`, 'MalformedXML'],
    [`<Delete>${'<a/>'.repeat(60_000)}</Delete>`, 'MalformedXML'],
    [' '.repeat(9 * MiB), 'MaxMessageLengthExceeded'],
  ])('that is hostile or broken is refused (%#)', async (xml, code) => {
    expect((await remove(xml)).code).toBe(code)
  })

  test('may have name spaces, comments, CDATA, references and a byte order mark', async () => {
    const xml =
      '\ufeff<?xml version="1.0"?><!-- c --><s:Delete xmlns:s="x"><s:Object a="b"><s:Key>a&amp;&#x62;<![CDATA[<c>]]></s:Key></s:Object></s:Delete>'
    expect((await remove(xml)).text).toContain('<Key>a&amp;b&lt;c&gt;</Key>')
  })

  test('costs no more than its length to read', () => {
    for (const evil of ['<![CDATA[', '<!--', '<a ', '&', '<?']) {
      const begun = performance.now()
      expect(() => parseXml(`<Delete>${evil.repeat(300_000)}`)).toThrow()
      // Not a promise about speed: a quadratic reader would take hours.
      expect(performance.now() - begun).toBeLessThan(60 * SECOND)
    }
  })
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
