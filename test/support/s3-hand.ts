/** Short words for tests of an S3 endpoint through the SDK. */
import { createHash } from 'node:crypto'
import {
  CreateBucketCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { forFile, later } from './for-file.ts'
import { startS3, type TestS3 } from './s3-server.ts'

export const Bucket = 'contract'

export type Hand = {
  readonly s3: TestS3
  readonly client: S3Client
  /** Gives the ETag. */
  put(key: string, body: Buffer | string, more?: object): Promise<string>
  read(key: string, more?: object): Promise<Buffer>
  keys(prefix?: string): Promise<readonly string[]>
}

/** An endpoint with one empty bucket. */
export const startHand = async (): Promise<Hand> => {
  const s3 = await startS3()
  const client = s3.client()
  await client.send(new CreateBucketCommand({ Bucket }))
  return {
    s3,
    client,
    put: async (Key, Body, more = {}) =>
      (await client.send(new PutObjectCommand({ Bucket, Key, Body, ...more }))).ETag ?? '',
    read: async (Key, more = {}) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, ...more }))
      return Buffer.from((await Body?.transformToByteArray()) ?? [])
    },
    keys: async (Prefix = '') => {
      const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket, Prefix }))
      return Contents.map(({ Key = '' }) => Key)
    },
  }
}

/** One for all tests of a file. */
export const handForFile = (): Pick<Hand, 's3' | 'client'> & { readonly hand: Hand } => {
  const hand = forFile(startHand, async ({ s3 }) => s3.close())
  return { hand, s3: later(() => hand.s3), client: later(() => hand.client) }
}

export const md5 = (body: Buffer | string): string => createHash('md5').update(body).digest('hex')

/** Bytes that differ from place to place and from seed to seed. */
export const pattern = (size: number, seed: number): Buffer => {
  const body = Buffer.alloc(size)
  for (let at = 0; at < size; at += 1) body[at] = (at * 31 + seed + (at >>> 8)) & 255
  return body
}

/** Name and status of the error that `work` ends with; `no error` when it succeeds. */
export const refused = async (
  work: Promise<unknown>,
): Promise<readonly [string, number | undefined]> => {
  try {
    await work
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const status: unknown = Reflect.get(Object(Reflect.get(error, '$metadata')), 'httpStatusCode')
    return [error.name, typeof status === 'number' ? status : undefined]
  }
  return ['no error', undefined]
}
