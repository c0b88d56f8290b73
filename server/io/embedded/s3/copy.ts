import type { Checksum } from './checksums.ts'
import { copyBytes, digests } from './copy-bytes.ts'
import { bucketExists, isBucketName, type Disk } from './disk.ts'
import { answerSlowly, needBucket, quoted, subjectOf, type Exchange } from './exchange.ts'
import { preconditions } from './get.ts'
import type { Subject } from './metadata.ts'
import type { Metadata } from './record.ts'
import { askedChecksum, givenHeaders, refuseUnsupported } from './object-headers.ts'
import { openObject, publish, type OpenedObject } from './objects.ts'
import { writeCondition } from './put.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import { openTemp } from './temps.ts'
import { decodePiece } from './uri.ts'
import { field, xmlDocument } from './xml.ts'
import { MAX_PUT } from './announced.ts'

/** `x-amz-copy-source`: `[/]<bucket>/<key, percent-encoded>[?versionId=null]`. */
const sourceOf = (request: S3Request): Subject => {
  const [path = '', query] = (request.headers.get('x-amz-copy-source') ?? '').split('?')
  if (query !== undefined && query !== 'versionId=null') throw refuse('NoSuchVersion')
  const decoded = decodePiece(path).replace(/^\//, '')
  const at = decoded.indexOf('/')
  const [bucket, key] = [decoded.slice(0, Math.max(at, 0)), decoded.slice(at + 1)]
  if (!isBucketName(bucket) || key === '')
    throw refuse('InvalidArgument', 'Copy Source must mention the source bucket and key.')
  return { bucket, key }
}

/** Opens the source of a copy, its conditions checked. The caller closes the handle. */
export const openSource = async (disk: Disk, request: S3Request): Promise<OpenedObject> => {
  const source = sourceOf(request)
  if (!(await bucketExists(disk, source.bucket))) throw refuse('NoSuchBucket')
  const object = await openObject(disk, source)
  if (object === null) throw refuse('NoSuchKey', undefined, { Key: source.key })
  try {
    if (preconditions(request.headers, 'x-amz-copy-source-', object) === 'not-modified') {
      throw refuse('PreconditionFailed')
    }
    return object
  } catch (error) {
    await object.handle.close()
    throw error
  }
}

const checkItself = (request: S3Request): void => {
  const source = sourceOf(request)
  const same = source.bucket === request.bucket && source.key === request.key
  if (same && request.headers.get('x-amz-metadata-directive') !== 'REPLACE') {
    throw refuse(
      'InvalidRequest',
      'This copy request is illegal because it is trying to copy an object to itself without changing its metadata.',
    )
  }
}

/** What the record says of the bytes must hold for what was read: a copy must not launder damage. */
const checkSound = (source: Metadata, md5: string, checksum: Checksum | null): void => {
  const known = source.checksum
  const differs =
    known !== null &&
    known.type === 'FULL_OBJECT' &&
    known.name === checksum?.name &&
    known.value !== checksum.value
  if (differs || (/^[0-9a-f]{32}$/.test(source.etag) && source.etag !== md5)) {
    throw refuse('InternalError', 'The source is damaged: its bytes do not have its digest.')
  }
}

const copy = async (exchange: Exchange, source: OpenedObject): Promise<string> => {
  const { disk, request } = exchange
  const replaces = request.headers.get('x-amz-metadata-directive') === 'REPLACE'
  const given = replaces ? givenHeaders(request) : source.metadata
  const kept = source.metadata.checksum
  const name = askedChecksum(request) ?? (kept?.type === 'FULL_OBJECT' ? kept.name : null)
  const running = digests(name)
  const temp = await openTemp(disk.temps)
  try {
    await copyBytes(source.handle, [0, source.size], temp, running.update)
    const { md5, checksum: value } = running.finish()
    const checksum: Checksum | null =
      name === null || value === null ? null : { name, value, type: 'FULL_OBJECT' }
    checkSound(source.metadata, md5, checksum)
    const metadata = { etag: md5, headers: given.headers, user: given.user, checksum }
    const condition = writeCondition(request)
    const { modified } = await publish(disk, subjectOf(exchange), temp, { metadata, condition })
    return copyResult('CopyObjectResult', { etag: md5, modified, checksum })
  } finally {
    await temp.discard()
  }
}

export const copyResult = (
  root: 'CopyObjectResult' | 'CopyPartResult',
  made: { readonly etag: string; readonly modified: number; readonly checksum: Checksum | null },
): string =>
  xmlDocument(
    root,
    field('LastModified', new Date(made.modified).toISOString()),
    field('ETag', quoted(made.etag)),
    made.checksum === null
      ? ''
      : field(`Checksum${made.checksum.name.toUpperCase()}`, made.checksum.value),
  )

/** CopyObject. Reads and digests the bytes, so the copy's ETag is their MD5 whatever the source's was. */
export const copyObject = async (exchange: Exchange): Promise<void> => {
  const { disk, request } = exchange
  refuseUnsupported(request)
  writeCondition(request)
  await needBucket(exchange)
  checkItself(request)
  const source = await openSource(disk, request)
  try {
    if (source.size > MAX_PUT) {
      throw refuse('InvalidRequest', 'The source is larger than 5 GiB: copy it in parts.')
    }
    await answerSlowly(exchange, copy(exchange, source))
  } finally {
    await source.handle.close()
  }
}
