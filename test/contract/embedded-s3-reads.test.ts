import { readdir } from 'node:fs/promises'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { Bucket, refused, handForFile } from '../support/s3-hand.ts'

const { hand, s3, client } = handForFile()

describe('an object', () => {
  test.each([
    ['bytes=0-3', '0123', 'bytes 0-3/10'],
    ['bytes=4-', '456789', 'bytes 4-9/10'],
    ['bytes=-3', '789', 'bytes 7-9/10'],
    ['bytes=-99', '0123456789', 'bytes 0-9/10'],
    ['bytes=8-99', '89', 'bytes 8-9/10'],
    ['bytes=9-9', '9', 'bytes 9-9/10'],
  ])('gives the range %s', async (Range, text, range) => {
    await hand.put('ranges', '0123456789')
    const got = await client.send(new GetObjectCommand({ Bucket, Key: 'ranges', Range }))
    expect(got.ContentRange).toBe(range)
    expect(got.$metadata.httpStatusCode).toBe(206)
    expect(await got.Body?.transformToString()).toBe(text)
    const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'ranges', Range }))
    expect(head.ContentLength).toBe(text.length)
  })

  test('answers 416 to a range outside, and the whole to what is no range', async () => {
    await hand.put('ranges', '0123456789')
    for (const Range of ['bytes=10-', 'bytes=-0']) {
      expect(await refused(hand.read('ranges', { Range }))).toEqual(['InvalidRange', 416])
    }
    for (const Range of ['bytes=5-2', 'lines=1-2', 'bytes=0-1,4-5']) {
      expect((await hand.read('ranges', { Range })).toString()).toBe('0123456789')
    }
  })

  test('is read under conditions', async () => {
    const etag = await hand.put('conditions', 'x')
    const { LastModified = new Date(0) } = await client.send(
      new HeadObjectCommand({ Bucket, Key: 'conditions' }),
    )
    const before = new Date(LastModified.getTime() - 2000)
    const after = new Date(LastModified.getTime() + 2000)
    const ok = async (how: object): Promise<void> => {
      expect((await hand.read('conditions', how)).toString()).toBe('x')
    }
    await ok({ IfMatch: etag })
    await ok({ IfMatch: '*' })
    await ok({ IfNoneMatch: '"other"' })
    await ok({ IfModifiedSince: before })
    await ok({ IfUnmodifiedSince: after })
    const status = async (how: object): Promise<number | undefined> =>
      (await refused(hand.read('conditions', how)))[1]
    expect(await status({ IfMatch: '"other"' })).toBe(412)
    expect(await status({ IfUnmodifiedSince: before })).toBe(412)
    expect(await status({ IfNoneMatch: etag })).toBe(304)
    expect(await status({ IfModifiedSince: after })).toBe(304)
  })

  test('is written under conditions', async () => {
    expect(await refused(hand.put('cas', 'x', { IfMatch: '"0"' }))).toEqual(['NoSuchKey', 404])
    const etag = await hand.put('cas', 'one', { IfNoneMatch: '*' })
    expect(await refused(hand.put('cas', 'two', { IfNoneMatch: '*' }))).toEqual([
      'PreconditionFailed',
      412,
    ])
    expect(await refused(hand.put('cas', 'two', { IfMatch: '"other"' }))).toEqual([
      'PreconditionFailed',
      412,
    ])
    expect((await hand.read('cas')).toString()).toBe('one')
    await hand.put('cas', 'two', { IfMatch: etag })
    expect((await hand.read('cas')).toString()).toBe('two')
    expect(await refused(hand.put('cas', 'x', { IfNoneMatch: etag }))).toEqual([
      'NotImplemented',
      501,
    ])
    const stale = new DeleteObjectCommand({ Bucket, Key: 'cas', IfMatch: etag })
    expect(await refused(client.send(stale))).toEqual(['PreconditionFailed', 412])
  })

  test('that is not there is NoSuchKey, and in a bucket that is not there NoSuchBucket', async () => {
    expect(await refused(hand.read('absent'))).toEqual(['NoSuchKey', 404])
    expect(await refused(client.send(new HeadObjectCommand({ Bucket, Key: 'absent' })))).toEqual([
      'NotFound',
      404,
    ])
    const elsewhere = { Bucket: 'no-such-bucket', Key: 'x' }
    expect(await refused(client.send(new GetObjectCommand(elsewhere)))).toEqual([
      'NoSuchBucket',
      404,
    ])
    expect(await refused(client.send(new PutObjectCommand({ ...elsewhere, Body: 'x' })))).toEqual([
      'NoSuchBucket',
      404,
    ])
    expect(await refused(client.send(new DeleteObjectCommand(elsewhere)))).toEqual([
      'NoSuchBucket',
      404,
    ])
    await client.send(new DeleteObjectCommand({ Bucket, Key: 'absent' }))
    expect(await readdir(s3.folder)).not.toContain('no-such-bucket')
  })
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
