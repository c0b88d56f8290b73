import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { GiB } from '#shared/units.ts'
import {
  CHECKSUMS,
  isChecksumName,
  isChecksumValue,
  running,
  type Checksum,
  type ChecksumName,
} from './checksums.ts'
import { chunkedDecoder, plainDecoder, type Decoder } from './chunked.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import type { PayloadRule } from './signature.ts'

/** Bytes of one PUT or part. */
export const MAX_PUT = 5 * GiB

/** Where the object's bytes go; awaited before more is read, so a slow disk slows the sender. */
export type Sink = (piece: Buffer) => Promise<void> | undefined

export type Received = {
  readonly size: number
  /** Hex. */
  readonly md5: string
  readonly checksum: Checksum | null
}

type Expected = {
  /** Bytes of the object itself. */
  readonly length: number
  /** Hex, or null. */
  readonly sha256: string | null
  readonly md5: string | null
  readonly checksum: { readonly name: ChecksumName; readonly value: string | null } | null
}

const lengthOf = (request: S3Request, name: string): number | null => {
  const text = request.headers.get(name)
  if (text === undefined) return null
  if (!/^\d{1,16}$/.test(text)) throw refuse('InvalidArgument', `${name} must be a number.`)
  return Number(text)
}

/** Chunked payloads state the object's length beside that of the framing. */
const objectLength = (request: S3Request, payload: PayloadRule): number => {
  const framed = payload.kind === 'signed-chunks' || payload.kind === 'unsigned-chunks'
  const length = lengthOf(request, framed ? 'x-amz-decoded-content-length' : 'content-length')
  if (length === null) throw refuse('MissingContentLength')
  if (length > MAX_PUT)
    throw refuse('EntityTooLarge', undefined, { MaxSizeAllowed: String(MAX_PUT) })
  return length
}

const md5Of = (request: S3Request): string | null => {
  const text = request.headers.get('content-md5')
  if (text === undefined) return null
  const raw = Buffer.from(text, 'base64')
  if (raw.length !== 16 || raw.toString('base64') !== text) throw refuse('InvalidDigest')
  return raw.toString('hex')
}

/** The one additional checksum that headers or an announced trailer give; more than one is refused. */
const announcedChecksum = (request: S3Request): Expected['checksum'] => {
  const given = CHECKSUMS.flatMap((name) => {
    const value = request.headers.get(`x-amz-checksum-${name}`)
    return value === undefined ? [] : [{ name, value }]
  })
  const trailer = request.headers.get('x-amz-trailer')?.toLowerCase() ?? ''
  const trailing = /^x-amz-checksum-(\w+)$/.exec(trailer)?.[1]
  if (trailer !== '' && (trailing === undefined || !isChecksumName(trailing))) {
    throw refuse(
      'InvalidRequest',
      'The value specified in the x-amz-trailer header is not supported.',
    )
  }
  const [first] = given
  if (given.length > 1 || (first !== undefined && trailing !== undefined)) {
    throw refuse('InvalidRequest', 'Expecting a single x-amz-checksum- header.')
  }
  if (first !== undefined && !isChecksumValue(first.name, first.value)) {
    throw refuse('InvalidRequest', `Value for x-amz-checksum-${first.name} header is invalid.`)
  }
  if (first !== undefined) return first
  return trailing !== undefined && isChecksumName(trailing) ? { name: trailing, value: null } : null
}

const expectedOf = (request: S3Request, payload: PayloadRule): Expected => {
  const checksum = announcedChecksum(request)
  if (request.headers.has('x-amz-sdk-checksum-algorithm') && checksum === null) {
    throw refuse(
      'InvalidRequest',
      'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    )
  }
  return {
    length: objectLength(request, payload),
    sha256: payload.kind === 'sha256' ? payload.hex : null,
    md5: md5Of(request),
    checksum,
  }
}

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

const settleChecksum = (
  announced: NonNullable<Expected['checksum']>,
  raw: Buffer,
  trailers: ReadonlyMap<string, string>,
): Checksum => {
  const value = raw.toString('base64')
  const claimed = announced.value ?? trailers.get(`x-amz-checksum-${announced.name}`)
  if (claimed === undefined) throw refuse('MalformedTrailerError')
  if (claimed !== value) throw checksumMismatch(announced.name)
  return { name: announced.name, value, type: 'FULL_OBJECT' }
}

const watch = (expected: Expected): Watch => {
  const md5 = createHash('md5')
  const wanted = expected.checksum
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
      const checksum =
        wanted === null || raw === undefined ? null : settleChecksum(wanted, raw, trailers)
      return { size, md5: md5Hex, checksum }
    },
  }
}

async function* rawBody(body: IncomingMessage): AsyncGenerator<Buffer> {
  for await (const piece of body) {
    if (Buffer.isBuffer(piece)) yield piece
  }
}

/**
 * Reads a body to its end, verifying length, payload hash, chunk signatures, Content-MD5 and additional checksum. Nothing
 * given to `sink` may be believed before this returns. Throws a refusal, or the socket's error when the sender went away.
 */
export const receive = async (
  request: S3Request,
  payload: PayloadRule,
  sink: Sink,
): Promise<Received> => {
  const checks = watch(expectedOf(request, payload))
  const decoder = decoderOf(payload)
  for await (const raw of rawBody(request.body)) {
    for (const piece of decoder.push(raw)) {
      checks.update(piece)
      await sink(piece)
    }
  }
  if (!request.body.complete) throw refuse('IncompleteBody')
  return checks.finish(decoder.finish())
}

/** A whole small body as text; more than `limit` bytes is `MaxMessageLengthExceeded`. */
export const receiveText = async (
  request: S3Request,
  payload: PayloadRule,
  limit: number,
): Promise<string> => {
  // HTTP without either header means that there is no body, which is what CreateBucket usually sends.
  if (!request.headers.has('content-length') && !request.headers.has('transfer-encoding')) return ''
  const pieces: Buffer[] = []
  let size = 0
  await receive(request, payload, (piece) => {
    size += piece.length
    if (size > limit) throw refuse('MaxMessageLengthExceeded')
    pieces.push(piece)
    return undefined
  })
  return Buffer.concat(pieces).toString('utf8')
}
