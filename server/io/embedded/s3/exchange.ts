import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { SECOND, type Ms } from '#shared/units.ts'
import { bucketExists, isBucketName, type Disk } from './disk.ts'
import type { Subject } from './metadata.ts'
import { Refusal, refusalDocument, refuse } from './refusal.ts'
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
  { request, response }: Exchange,
  status: number,
  headers: OutgoingHttpHeaders = {},
): void => {
  request.client.expectReading()
  response.writeHead(
    status,
    status === 204 || status === 304 ? headers : { 'content-length': 0, ...headers },
  )
  response.end()
}

export const answerXml = (
  { request, response }: Exchange,
  xml: string,
  headers: OutgoingHttpHeaders = {},
): void => {
  request.client.expectReading()
  const body = Buffer.from(xml)
  response.writeHead(200, {
    'content-type': 'application/xml',
    'content-length': body.length,
    ...headers,
  })
  response.end(body)
}

const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
/** A client that hears nothing for longer than this may give up. */
const SILENCE: Ms = 10 * SECOND

/**
 * Answers what may take minutes. After ten seconds the 200 goes out and a blank follows every ten more, as S3 does it; a
 * failure after that is an Error document inside the 200, which clients of these operations look for.
 */
export const answerSlowly = async (exchange: Exchange, work: Promise<string>): Promise<void> => {
  const { request, response } = exchange
  const begin = (): void => {
    request.client.expectReading()
    if (response.headersSent) response.write(' ')
    else {
      response.writeHead(200, { 'content-type': 'application/xml' })
      response.write(XML_DECLARATION)
    }
  }
  const beat = setInterval(begin, SILENCE)
  try {
    const xml = await work
    if (response.headersSent) response.end(xml.slice(XML_DECLARATION.length))
    else answerXml(exchange, xml)
  } catch (error) {
    if (!response.headersSent) throw error
    const refusal = error instanceof Refusal ? error : refuse('InternalError')
    response.end(refusalDocument(refusal).slice(XML_DECLARATION.length))
    if (refusal !== error) throw error
  } finally {
    clearInterval(beat)
  }
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
