import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { bucketExists, isBucketName, type Disk } from './disk.ts'
import type { Subject } from './metadata.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import type { PayloadRule } from './signature.ts'

/** One request that is believed, and where its answer goes. */
export type Exchange = {
  readonly disk: Disk
  readonly region: string
  readonly request: S3Request
  readonly payload: PayloadRule
  readonly response: ServerResponse
}

export type Action = (exchange: Exchange) => Promise<void>

export const answer = (
  { response }: Exchange,
  status: number,
  headers: OutgoingHttpHeaders = {},
): void => {
  response.writeHead(
    status,
    status === 204 || status === 304 ? headers : { 'content-length': 0, ...headers },
  )
  response.end()
}

export const answerXml = (
  { response }: Exchange,
  xml: string,
  headers: OutgoingHttpHeaders = {},
): void => {
  const body = Buffer.from(xml)
  response.writeHead(200, {
    'content-type': 'application/xml',
    'content-length': body.length,
    ...headers,
  })
  response.end(body)
}

/** The bucket of the request, which must exist. */
export const needBucket = async ({ disk, request: { bucket } }: Exchange): Promise<string> => {
  if (!isBucketName(bucket)) throw refuse('InvalidBucketName', undefined, { BucketName: bucket })
  if (!(await bucketExists(disk, bucket)))
    throw refuse('NoSuchBucket', undefined, { BucketName: bucket })
  return bucket
}

export const subjectOf = ({ request: { bucket, key } }: Exchange): Subject => ({ bucket, key })

export const quoted = (etag: string): string => `"${etag}"`

export const unquoted = (etag: string): string =>
  etag
    .trim()
    .replace(/^W\//, '')
    .replace(/^"(.*)"$/, '$1')
