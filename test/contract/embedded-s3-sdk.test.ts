import { Readable } from 'node:stream'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  type S3ClientConfig,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { Bucket, md5, pattern, startHand, type Hand } from '../support/s3-hand.ts'
import type { TestS3 } from '../support/s3-server.ts'

let hand: Hand
let s3: TestS3

beforeAll(async () => {
  hand = await startHand()
  s3 = hand.s3
})

afterAll(async () => {
  await s3.close()
})

describe.each<readonly [string, S3ClientConfig]>([
  ['with the default checksums', {}],
  [
    'with checksums only where required',
    { requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED' },
  ],
])('the SDK %s', (_, config) => {
  const sizes = [0, 1, 65_536, 1_000_003, 5 * MiB + 1]

  test.each(sizes)('gets back %d bytes that it put as a buffer', async (size) => {
    const own = s3.client(config)
    const body = pattern(size, 3)
    const { ETag } = await own.send(
      new PutObjectCommand({ Bucket, Key: `buffer/${size}`, Body: body }),
    )
    expect(ETag).toBe(`"${md5(body)}"`)
    const got = await own.send(new GetObjectCommand({ Bucket, Key: `buffer/${size}` }))
    expect(got.ETag).toBe(ETag)
    expect(got.ContentLength).toBe(size)
    expect(Buffer.from((await got.Body?.transformToByteArray()) ?? []).equals(body)).toBe(true)
  })

  test.each(sizes)('gets back %d bytes that it put as a stream', async (size) => {
    const own = s3.client(config)
    const body = pattern(size, 5)
    const pieces = [body.subarray(0, 70_000), body.subarray(70_000)].filter(
      ({ length }) => length > 0,
    )
    await own.send(
      new PutObjectCommand({
        Bucket,
        Key: `stream/${size}`,
        Body: Readable.from(pieces),
        ContentLength: size,
      }),
    )
    expect((await hand.read(`stream/${size}`)).equals(body)).toBe(true)
  })

  test('uploads in parts, lists them, and gets the whole back', async () => {
    const own = s3.client(config)
    const Key = 'parts/whole'
    const begun = await own.send(
      new CreateMultipartUploadCommand({
        Bucket,
        Key,
        Metadata: { of: 'parts' },
        ContentType: 'x/y',
      }),
    )
    const UploadId = begun.UploadId ?? ''
    const bodies = [pattern(5 * MiB, 1), pattern(5 * MiB, 2), pattern(77, 3)]
    const Parts = []
    for (const [at, Body] of bodies.entries()) {
      const { ETag, ChecksumCRC32 } = await own.send(
        new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: at + 1, Body }),
      )
      Parts.push({
        ETag,
        PartNumber: at + 1,
        ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }),
      })
    }
    const listed = await own.send(new ListPartsCommand({ Bucket, Key, UploadId, MaxParts: 2 }))
    expect(listed.Parts?.map(({ PartNumber, Size, ETag }) => ({ PartNumber, Size, ETag }))).toEqual(
      bodies.slice(0, 2).map((body, at) => ({
        PartNumber: at + 1,
        Size: body.length,
        ETag: `"${md5(body)}"`,
      })),
    )
    expect(listed.IsTruncated).toBe(true)
    const uploads = await own.send(new ListMultipartUploadsCommand({ Bucket }))
    expect(uploads.Uploads?.map((upload) => upload.UploadId)).toContain(UploadId)
    expect(await hand.keys('parts/')).toEqual([])
    const made = await own.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    )
    const digests = Buffer.concat(bodies.map((body) => Buffer.from(md5(body), 'hex')))
    expect(made.ETag).toBe(`"${md5(digests)}-3"`)
    const got = await own.send(new GetObjectCommand({ Bucket, Key }))
    expect(got.Metadata).toEqual({ of: 'parts' })
    expect(got.ContentType).toBe('x/y')
    const bytes = Buffer.from((await got.Body?.transformToByteArray()) ?? [])
    expect(bytes.equals(Buffer.concat(bodies))).toBe(true)
    const after = await own.send(new ListMultipartUploadsCommand({ Bucket }))
    expect(after.Uploads ?? []).toEqual([])
    await own.send(new DeleteObjectCommand({ Bucket, Key }))
  })
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
