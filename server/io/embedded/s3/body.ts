import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { KiB, MINUTE, SECOND, type Ms } from '#shared/units.ts'
import { expectedOf, type Expected } from './announced.ts'
import { running, type Checksum, type ChecksumName } from './checksums.ts'
import { chunkedDecoder, plainDecoder, type Decoder } from './chunked.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import type { PayloadRule } from './signature.ts'

/** Where the object's bytes go; awaited before more is read, so a slow disk slows the sender. */
export type Sink = (piece: Buffer) => Promise<void> | undefined

export type Received = {
  readonly size: number
  /** Hex. */
  readonly md5: string
  /** The one announced; else the one that was asked to be computed. */
  readonly checksum: Checksum | null
}

export type Receiving = {
  readonly request: S3Request
  readonly payload: PayloadRule
  readonly sink: Sink
  /** A checksum to compute where the request announces none. */
  readonly compute?: ChecksumName | null
  /** CompleteMultipartUpload: the checksum headers speak of the object, not of this body. */
  readonly aboutOther?: boolean
}

/** A body slower than this on average, a grace apart, is somebody holding our connection. */
const MIN_BYTES_A_SECOND = KiB
const GRACE: Ms = 2 * MINUTE

const decoderOf = (payload: PayloadRule): Decoder => {
  switch (payload.kind) {
    case 'sha256':
    case 'unsigned':
      return plainDecoder()
    case 'signed-chunks':
      return chunkedDecoder(payload.seed, payload.trailer)
    case 'unsigned-chunks':
      return chunkedDecoder(null, false)
  }
}

/** A check of what arrived; throws when it is not what was announced. */
type Watch = {
  update(piece: Buffer): void
  finish(trailers: ReadonlyMap<string, string>): Received
}

const checksumMismatch = (name: ChecksumName): Error =>
  refuse(
    'BadDigest',
    `The ${name.toUpperCase()} you specified did not match the calculated checksum.`,
  )

const checkAnnounced = (
  announced: NonNullable<Expected['checksum']>,
  raw: Buffer,
  trailers: ReadonlyMap<string, string>,
): void => {
  const claimed = announced.value ?? trailers.get(`x-amz-checksum-${announced.name}`)
  if (claimed === undefined) throw refuse('MalformedTrailerError')
  if (claimed !== raw.toString('base64')) throw checksumMismatch(announced.name)
}

/** The checksum that the request announces, or the one to compute all the same. */
const wantedOf = (
  expected: Expected,
  { compute, aboutOther }: Receiving,
): { readonly name: ChecksumName; readonly announced: Expected['checksum'] } | null => {
  if (expected.checksum !== null && aboutOther !== true) {
    return { name: expected.checksum.name, announced: expected.checksum }
  }
  return compute === undefined || compute === null ? null : { name: compute, announced: null }
}

const watch = (expected: Expected, receiving: Receiving): Watch => {
  const wanted = wantedOf(expected, receiving)
  const md5 = createHash('md5')
  // The payload's SHA-256 serves as the additional checksum too where both are asked for.
  const needsSha = expected.sha256 !== null || wanted?.name === 'sha256'
  const sha256 = needsSha ? createHash('sha256') : null
  const extra = wanted === null || wanted.name === 'sha256' ? null : running(wanted.name)
  let size = 0
  return {
    update: (piece) => {
      size += piece.length
      if (size > expected.length) throw refuse('IncompleteBody')
      md5.update(piece)
      sha256?.update(piece)
      extra?.update(piece)
    },
    finish: (trailers) => {
      if (size !== expected.length) throw refuse('IncompleteBody')
      const sha = sha256?.digest()
      if (expected.sha256 !== null && sha?.toString('hex') !== expected.sha256) {
        throw refuse('XAmzContentSHA256Mismatch')
      }
      const md5Hex = md5.digest('hex')
      if (expected.md5 !== null && expected.md5 !== md5Hex) throw refuse('BadDigest')
      const raw = extra?.digest() ?? sha
      if (wanted === null || raw === undefined) return { size, md5: md5Hex, checksum: null }
      if (wanted.announced !== null) checkAnnounced(wanted.announced, raw, trailers)
      const value = raw.toString('base64')
      return { size, md5: md5Hex, checksum: { name: wanted.name, value, type: 'FULL_OBJECT' } }
    },
  }
}

/** Raw pieces; a refusal in the middle must not destroy the stream, the answer still has to go out on its socket. */
const rawBody = (body: IncomingMessage): AsyncIterable<unknown> =>
  body.iterator({ destroyOnReturn: false })

const checkRate = (bytes: number, since: Ms): void => {
  const late = performance.now() - since - GRACE
  if (bytes < (late / SECOND) * MIN_BYTES_A_SECOND) throw refuse('RequestTimeout')
}

/**
 * Reads a body to its end, verifying length, payload hash, chunk signatures, Content-MD5 and additional checksum. Nothing
 * given to `sink` may be believed before this returns. Throws a refusal, or the socket's error when the sender went away.
 */
export const receive = async (receiving: Receiving): Promise<Received> => {
  const { request, payload, sink } = receiving
  const checks = watch(expectedOf(request, payload), receiving)
  const decoder = decoderOf(payload)
  const since = performance.now()
  let bytes = 0
  request.client.expectMore()
  for await (const raw of rawBody(request.body)) {
    if (!Buffer.isBuffer(raw)) continue
    bytes += raw.length
    checkRate(bytes, since)
    for (const piece of decoder.push(raw)) {
      checks.update(piece)
      await sink(piece)
    }
  }
  request.client.busy()
  if (!request.body.complete) throw refuse('IncompleteBody')
  return checks.finish(decoder.finish())
}

/** A whole small body as text; more than `limit` bytes is `MaxMessageLengthExceeded`. */
export const receiveText = async (
  from: Pick<Receiving, 'request' | 'payload' | 'aboutOther'>,
  limit: number,
): Promise<string> => {
  const { headers } = from.request
  // HTTP without either header means that there is no body, which is what CreateBucket usually sends.
  if (!headers.has('content-length') && !headers.has('transfer-encoding')) return ''
  const pieces: Buffer[] = []
  let size = 0
  const sink: Sink = (piece) => {
    size += piece.length
    if (size > limit) throw refuse('MaxMessageLengthExceeded')
    pieces.push(piece)
    return undefined
  }
  await receive({ ...from, sink })
  return Buffer.concat(pieces).toString('utf8')
}
