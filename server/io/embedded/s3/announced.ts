import { GiB } from '#shared/units.ts'
import { CHECKSUMS, isChecksumName, isChecksumValue, type ChecksumName } from './checksums.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import type { PayloadRule } from './signature.ts'

/** Bytes of one PUT or part. */
export const MAX_PUT = 5 * GiB

/** What a request says of its body beforehand. */
export type Expected = {
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
export const announcedChecksum = (request: S3Request): Expected['checksum'] => {
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
  if (first === undefined) {
    return trailing !== undefined && isChecksumName(trailing)
      ? { name: trailing, value: null }
      : null
  }
  if (!isChecksumValue(first.name, first.value)) {
    throw refuse('InvalidRequest', `Value for x-amz-checksum-${first.name} header is invalid.`)
  }
  return first
}

/** Refuses what contradicts itself or is malformed. */
export const expectedOf = (request: S3Request, payload: PayloadRule): Expected => {
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
