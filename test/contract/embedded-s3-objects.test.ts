import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { Bucket, md5, pattern, refused, handForFile } from '../support/s3-hand.ts'

const { hand, s3, client } = handForFile()

describe('an object', () => {
  test.each(['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const)(
    'keeps the %s that the SDK computed, and gives it back',
    async (ChecksumAlgorithm) => {
      const name = `Checksum${ChecksumAlgorithm}`
      const body = pattern(100_001, 9)
      for (const Body of [body, Readable.from([body])]) {
        const Key = `checksums/${ChecksumAlgorithm}`
        const made = await client.send(
          new PutObjectCommand({
            Bucket,
            Key,
            Body,
            ContentLength: body.length,
            ChecksumAlgorithm,
          }),
        )
        const head = await client.send(
          new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }),
        )
        expect(Reflect.get(head, name)).toBe(Reflect.get(made, name))
        expect(Reflect.get(head, name)).toBeTypeOf('string')
        expect((await hand.read(Key, { ChecksumMode: 'ENABLED' })).equals(body)).toBe(true)
      }
    },
  )

  test('is refused when its digest is another, and nothing is kept of it', async () => {
    const Key = 'digests/wrong'
    const wrong = { ContentMD5: createHash('md5').update('other').digest('base64') }
    expect(await refused(hand.put(Key, 'body', wrong))).toEqual(['BadDigest', 400])
    expect(await refused(hand.put(Key, 'body', { ChecksumCRC32: 'AAAAAA==' }))).toEqual([
      'BadDigest',
      400,
    ])
    expect(await refused(hand.put(Key, 'body', { ChecksumSHA256: 'AAAA' }))).toEqual([
      'InvalidRequest',
      400,
    ])
    expect(await refused(hand.put(Key, 'body', { ContentMD5: 'short' }))).toEqual([
      'InvalidDigest',
      400,
    ])
    expect(await hand.keys('digests/')).toEqual([])
    expect(
      await readdir(join(s3.folder, '.holdfast-s3', 'temp')).then(async ([own = '']) =>
        readdir(join(s3.folder, '.holdfast-s3', 'temp', own)),
      ),
    ).toEqual([])
  })

  test('repeats the headers and metadata that it was given', async () => {
    await hand.put('headers', 'x', {
      ContentType: 'text/x-test; charset=utf-8',
      CacheControl: 'no-cache',
      ContentDisposition: 'attachment; filename="a b"',
      ContentEncoding: 'gzip',
      ContentLanguage: 'de',
      Metadata: { one: '1', 'two-words': 'a  b' },
    })
    const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'headers' }))
    expect(head).toMatchObject({
      ContentType: 'text/x-test; charset=utf-8',
      CacheControl: 'no-cache',
      ContentDisposition: 'attachment; filename="a b"',
      ContentEncoding: 'gzip',
      ContentLanguage: 'de',
      Metadata: { one: '1' },
    })
    const got = await client.send(
      new GetObjectCommand({
        Bucket,
        Key: 'headers',
        ResponseContentType: 'application/json',
        ResponseContentDisposition: 'inline',
      }),
    )
    expect(got).toMatchObject({ ContentType: 'application/json', ContentDisposition: 'inline' })
  })

  test('is a plain file of the same name in the folder', async () => {
    const Key = 'vaults/v1/packs/ab/1.2-xyz.age'
    await hand.put(Key, 'plain bytes')
    expect(await readFile(join(s3.folder, Bucket, Key), 'utf8')).toBe('plain bytes')
    await client.send(new DeleteObjectCommand({ Bucket, Key }))
    expect(await readdir(join(s3.folder, Bucket))).not.toContain('vaults')
  })

  test('that somebody put into the folder is served, with its MD5 as ETag', async () => {
    await mkdir(join(s3.folder, Bucket, 'foreign'))
    const path = join(s3.folder, Bucket, 'foreign', 'file.txt')
    await writeFile(path, 'from outside')
    const first = await client.send(new HeadObjectCommand({ Bucket, Key: 'foreign/file.txt' }))
    expect(first.ETag).toBe(`"${md5(Buffer.from('from outside'))}"`)
    await utimes(path, 1_000_000, 1_000_000)
    expect(await hand.keys('foreign/')).toEqual(['foreign/file.txt'])
    await writeFile(path, 'changed there')
    const second = await client.send(new HeadObjectCommand({ Bucket, Key: 'foreign/file.txt' }))
    expect(second.ETag).toBe(`"${md5(Buffer.from('changed there'))}"`)
  })
})

test('nothing here was an error of the endpoint itself', () => {
  expect(s3.log.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([])
})
