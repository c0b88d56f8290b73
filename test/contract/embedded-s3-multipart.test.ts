import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { MiB } from '#shared/units.ts'
import { Bucket, pattern, refused, handForFile } from '../support/s3-hand.ts'

const { hand, s3, client } = handForFile()

describe('a copy', () => {
  test('has the bytes and the metadata of its source, or new metadata when asked', async () => {
    await hand.put('copy/from é', 'to be copied', {
      Metadata: { a: 'b' },
      ContentType: 'text/plain',
    })
    const CopySource = `${Bucket}/${encodeURIComponent('copy/from é')}`
    await client.send(new CopyObjectCommand({ Bucket, Key: 'copy/to', CopySource }))
    const got = await client.send(new GetObjectCommand({ Bucket, Key: 'copy/to' }))
    expect(got).toMatchObject({ Metadata: { a: 'b' }, ContentType: 'text/plain' })
    expect(await got.Body?.transformToString()).toBe('to be copied')
    const self = { Bucket, Key: 'copy/to', CopySource: `${Bucket}/copy/to` }
    expect(await refused(client.send(new CopyObjectCommand(self)))).toEqual(['InvalidRequest', 400])
    await client.send(
      new CopyObjectCommand({ ...self, MetadataDirective: 'REPLACE', Metadata: { c: 'd' } }),
    )
    const replaced = await client.send(new HeadObjectCommand({ Bucket, Key: 'copy/to' }))
    expect(replaced.Metadata).toEqual({ c: 'd' })
    expect(
      await refused(
        client.send(new CopyObjectCommand({ ...self, CopySource, CopySourceIfMatch: '"0"' })),
      ),
    ).toEqual(['PreconditionFailed', 412])
    expect(
      await refused(client.send(new CopyObjectCommand({ ...self, CopySource: `${Bucket}/none` }))),
    ).toEqual(['NoSuchKey', 404])
  })

  test('is refused when the bytes on the disk are no longer those that were put', async () => {
    await hand.put('copy/rotten', 'sound bytes')
    const path = join(s3.folder, Bucket, 'copy', 'rotten')
    const { LastModified } = await client.send(
      new HeadObjectCommand({ Bucket, Key: 'copy/rotten' }),
    )
    expect(LastModified).toBeInstanceOf(Date)
    const { statSync, utimesSync } = await import('node:fs')
    const { mtimeNs } = statSync(path, { bigint: true })
    await writeFile(path, 'rotten byte')
    // A flipped bit changes no time: put it back to the nanosecond.
    const seconds = Number(mtimeNs) / 1e9
    utimesSync(path, seconds, seconds)
    const now = statSync(path, { bigint: true }).mtimeNs
    const copied = client.send(
      new CopyObjectCommand({ Bucket, Key: 'copy/x', CopySource: `${Bucket}/copy/rotten` }),
    )
    expect((await refused(copied))[1]).toBe(now === mtimeNs ? 500 : undefined)
  })

  test('of a range can be a part of an upload', async () => {
    const body = pattern(6 * MiB, 7)
    await hand.put('copy/big', body)
    const Key = 'copy/assembled'
    const { UploadId = '' } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const CopySource = `${Bucket}/copy/big`
    const first = await client.send(
      new UploadPartCopyCommand({
        Bucket,
        Key,
        UploadId,
        PartNumber: 1,
        CopySource,
        CopySourceRange: `bytes=0-${5 * MiB - 1}`,
      }),
    )
    const second = await client.send(
      new UploadPartCopyCommand({
        Bucket,
        Key,
        UploadId,
        PartNumber: 2,
        CopySource,
        CopySourceRange: `bytes=${5 * MiB}-${6 * MiB - 1}`,
      }),
    )
    const outside = new UploadPartCopyCommand({
      Bucket,
      Key,
      UploadId,
      PartNumber: 3,
      CopySource,
      CopySourceRange: `bytes=0-${6 * MiB}`,
    })
    expect(await refused(client.send(outside))).toEqual(['InvalidArgument', 400])
    const Parts = [first, second].map(({ CopyPartResult }, at) => ({
      PartNumber: at + 1,
      ETag: CopyPartResult?.ETag,
    }))
    await client.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    )
    expect((await hand.read(Key)).equals(body)).toBe(true)
  })
})

describe('a multipart upload', () => {
  const begin = async (Key: string, more: object = {}): Promise<string> =>
    (await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }))).UploadId ?? ''
  const part = async (
    Key: string,
    UploadId: string,
    [PartNumber, Body]: readonly [number, Buffer],
    more: object = {},
  ): Promise<string> =>
    (await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ...more })))
      .ETag ?? ''
  const complete = async (
    Key: string,
    UploadId: string,
    Parts: readonly object[],
    more: object = {},
  ): Promise<unknown> =>
    client.send(
      new CompleteMultipartUploadCommand({
        Bucket,
        Key,
        UploadId,
        MultipartUpload: { Parts: [...Parts] },
        ...more,
      }),
    )

  test('refuses parts that are missing, wrong, unordered or too small', async () => {
    const Key = 'multi/refused'
    const id = await begin(Key)
    const small = await part(Key, id, [1, Buffer.from('small')])
    const last = await part(Key, id, [2, Buffer.from('last')])
    const one = { PartNumber: 1, ETag: small }
    const two = { PartNumber: 2, ETag: last }
    expect(await refused(complete(Key, id, [one, two]))).toEqual(['EntityTooSmall', 400])
    expect(await refused(complete(Key, id, [two, one]))).toEqual(['InvalidPartOrder', 400])
    expect(await refused(complete(Key, id, [{ PartNumber: 1, ETag: last }]))).toEqual([
      'InvalidPart',
      400,
    ])
    expect(await refused(complete(Key, id, [{ PartNumber: 7, ETag: last }]))).toEqual([
      'InvalidPart',
      400,
    ])
    expect(await refused(complete(Key, 'f'.repeat(32), [one]))).toEqual(['NoSuchUpload', 404])
    expect(await refused(complete('multi/other', id, [one]))).toEqual(['NoSuchUpload', 404])
    expect(await refused(part(Key, id, [10_001, Buffer.from('x')]))).toEqual([
      'InvalidArgument',
      400,
    ])
    expect(await hand.keys('multi/')).toEqual([])
    await complete(Key, id, [two])
    expect((await hand.read(Key)).toString()).toBe('last')
    expect(await refused(complete(Key, id, [two]))).toEqual(['NoSuchUpload', 404])
  })

  test('takes the newest of two parts with one number', async () => {
    const Key = 'multi/twice'
    const id = await begin(Key)
    await part(Key, id, [1, Buffer.from('first')])
    const ETag = await part(Key, id, [1, Buffer.from('second')])
    const { Parts = [] } = await client.send(new ListPartsCommand({ Bucket, Key, UploadId: id }))
    expect(Parts.map((one) => one.ETag)).toEqual([ETag])
    await complete(Key, id, [{ PartNumber: 1, ETag }])
    expect((await hand.read(Key)).toString()).toBe('second')
  })

  test('completes only once, and only onto nothing, when asked so', async () => {
    const Key = 'multi/once'
    const ids = [await begin(Key), await begin(Key)]
    const parts = await Promise.all(
      ids.map(async (id) => part(Key, id, [1, Buffer.from(`of ${id}`)])),
    )
    const ends = await Promise.all(
      ids.map(async (id, at) =>
        refused(complete(Key, id, [{ PartNumber: 1, ETag: parts[at] }], { IfNoneMatch: '*' })),
      ),
    )
    expect(ends.map(([name]) => name).toSorted()).toEqual(['PreconditionFailed', 'no error'])
  })

  test('is gone with its parts when aborted', async () => {
    const Key = 'multi/aborted'
    const id = await begin(Key)
    await part(Key, id, [1, Buffer.from('x')])
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: id }))
    expect(await refused(part(Key, id, [2, Buffer.from('x')]))).toEqual(['NoSuchUpload', 404])
    expect(await readdir(join(s3.folder, '.holdfast-s3', 'uploads', Bucket))).not.toContain(id)
  })

  test.each([
    ['CRC32', 'COMPOSITE'],
    ['SHA256', 'COMPOSITE'],
    ['CRC32C', 'FULL_OBJECT'],
  ] as const)('has a %s checksum of type %s', async (ChecksumAlgorithm, ChecksumType) => {
    const Key = `multi/${ChecksumAlgorithm}`
    const id = await begin(Key, { ChecksumAlgorithm, ChecksumType })
    const bodies = [pattern(5 * MiB, 1), pattern(100, 2)]
    const Parts = []
    for (const [at, body] of bodies.entries()) {
      const ETag = await part(Key, id, [at + 1, body], { ChecksumAlgorithm })
      Parts.push({ ETag, PartNumber: at + 1 })
    }
    expect(
      await refused(part(Key, id, [3, Buffer.from('x')], { ChecksumAlgorithm: 'SHA1' })),
    ).toEqual(['InvalidRequest', 400])
    await complete(Key, id, Parts)
    const head = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
    const value: unknown = Reflect.get(head, `Checksum${ChecksumAlgorithm}`)
    expect(head.ChecksumType).toBe(ChecksumType)
    await hand.put(`${Key}-whole`, Buffer.concat(bodies), { ChecksumAlgorithm })
    const whole = await client.send(
      new HeadObjectCommand({ Bucket, Key: `${Key}-whole`, ChecksumMode: 'ENABLED' }),
    )
    if (ChecksumType === 'FULL_OBJECT')
      expect(value).toBe(Reflect.get(whole, `Checksum${ChecksumAlgorithm}`))
    else expect(value).toMatch(/^[A-Za-z0-9+/]+=*-2$/)
    expect((await hand.read(Key, { ChecksumMode: 'ENABLED' })).equals(Buffer.concat(bodies))).toBe(
      true,
    )
  })
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
