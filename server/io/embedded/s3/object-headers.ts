import type { OutgoingHttpHeaders } from 'node:http'
import { isChecksumName, type ChecksumName } from './checksums.ts'
import { quoted } from './exchange.ts'
import type { Metadata } from './record.ts'
import type { ObjectInfo } from './objects.ts'
import { refuse } from './refusal.ts'
import { queryOf, type S3Request } from './request.ts'

/** What PUT stores and GET repeats. */
const KEPT = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
] as const

const USER = 'x-amz-meta-'
/** The limit of S3 for all user metadata, names and values, in bytes. */
const MAX_USER_BYTES = 2048

const keptValue = (name: string, value: string): string =>
  // aws-chunked is how the body travelled, not what the object is.
  name === 'content-encoding'
    ? value
        .split(',')
        .map((coding) => coding.trim())
        .filter((coding) => coding !== 'aws-chunked' && coding !== '')
        .join(',')
    : value

/** The metadata that a request gives to the object it makes. */
export const givenHeaders = (request: S3Request): Pick<Metadata, 'headers' | 'user'> => {
  const headers: Record<string, string> = {}
  for (const name of KEPT) {
    const value = keptValue(name, request.headers.get(name) ?? '')
    if (value !== '') headers[name] = value
  }
  const user: Record<string, string> = {}
  let bytes = 0
  for (const [name, value] of request.headers) {
    if (!name.startsWith(USER)) continue
    user[name.slice(USER.length)] = value
    bytes += name.length - USER.length + Buffer.byteLength(value, 'latin1')
  }
  if (bytes > MAX_USER_BYTES) throw refuse('MetadataTooLarge', undefined, { Size: String(bytes) })
  return { headers, user }
}

const ACLS = new Set(['private', 'bucket-owner-read', 'bucket-owner-full-control'])

/** Refuses what would be silently ignored otherwise: encryption, locks, tags, public access, other storage classes. */
export const refuseUnsupported = (request: S3Request): void => {
  for (const name of request.headers.keys()) {
    const unsupported =
      name.startsWith('x-amz-server-side-encryption') ||
      name.startsWith('x-amz-copy-source-server-side-encryption') ||
      name.startsWith('x-amz-object-lock-') ||
      name.startsWith('x-amz-grant-') ||
      name === 'x-amz-tagging' ||
      name === 'x-amz-website-redirect-location' ||
      name === 'x-amz-write-offset-bytes'
    if (unsupported) throw refuse('NotImplemented', undefined, { Header: name })
  }
  const acl = request.headers.get('x-amz-acl')
  if (acl !== undefined && !ACLS.has(acl)) throw refuse('AccessControlListNotSupported')
  const storageClass = request.headers.get('x-amz-storage-class') ?? 'STANDARD'
  if (storageClass !== 'STANDARD') throw refuse('InvalidStorageClass')
}

/** Only the version `null` exists: the endpoint keeps no others. */
export const refuseVersion = (request: S3Request): void => {
  const version = queryOf(request, 'versionId')
  if (version !== undefined && version !== 'null') {
    throw refuse('NoSuchVersion', undefined, { VersionId: version })
  }
}

export const checksumHeaders = ({ checksum }: Metadata): OutgoingHttpHeaders =>
  checksum === null
    ? {}
    : { [`x-amz-checksum-${checksum.name}`]: checksum.value, 'x-amz-checksum-type': checksum.type }

/** The checksum that a copy or a multipart upload is asked to have. */
export const askedChecksum = (request: S3Request): ChecksumName | null => {
  const name = request.headers.get('x-amz-checksum-algorithm')?.toLowerCase()
  if (name === undefined) return null
  if (!isChecksumName(name))
    throw refuse('InvalidRequest', 'Checksum algorithm provided is unsupported.')
  return name
}

const OVERRIDES: Readonly<Record<string, string>> = {
  'response-cache-control': 'cache-control',
  'response-content-disposition': 'content-disposition',
  'response-content-encoding': 'content-encoding',
  'response-content-language': 'content-language',
  'response-content-type': 'content-type',
  'response-expires': 'expires',
}

/** The headers that describe an object, the request's `response-…` parameters applied. */
export const objectHeaders = (request: S3Request, object: ObjectInfo): OutgoingHttpHeaders => {
  const headers: OutgoingHttpHeaders = {
    'content-type': 'binary/octet-stream',
    ...object.metadata.headers,
    etag: quoted(object.metadata.etag),
    'last-modified': new Date(object.modified).toUTCString(),
    'accept-ranges': 'bytes',
  }
  for (const [name, value] of Object.entries(object.metadata.user)) headers[USER + name] = value
  for (const [query, header] of Object.entries(OVERRIDES)) {
    const value = queryOf(request, query)
    if (value === undefined) continue
    if (/[^\t\x20-\x7e\x80-\xff]/.test(value))
      throw refuse('InvalidArgument', `${query} is not a header value.`)
    headers[header] = value
  }
  return headers
}
