import { answerXml, needBucket, quoted, type Exchange } from './exchange.ts'
import type { Disk } from './disk.ts'
import { lookAt, type ObjectInfo } from './objects.ts'
import { refuse } from './refusal.ts'
import { countOf, queryOf, type S3Request } from './request.ts'
import { mapLimited } from './turns.ts'
import { encodePiece } from './uri.ts'
import { fromBinary, toBinary, walkKeys, type Cursor } from './walk.ts'
import { field, group, xmlDocument } from './xml.ts'

const MAX_KEYS = 1000
/** Records read at once for a page. */
const LOOKS_AT_ONCE = 16

export type Page = {
  readonly keys: readonly string[]
  readonly prefixes: readonly string[]
  /** The last key or prefix of the page when there is more behind it, else null. */
  readonly next: string | null
}

type Ask = {
  readonly bucket: string
  readonly prefix: string
  readonly delimiter: string
  readonly after: string
  readonly limit: number
}

/** The common prefix that a key falls under, or null. */
const rollUp = (key: string, prefix: string, delimiter: string): string | null => {
  if (delimiter === '') return null
  const at = key.indexOf(delimiter, prefix.length)
  return at < 0 ? null : key.slice(0, at + delimiter.length)
}

/** One page of a listing. All strings are binary (walk.ts) inside and ordinary in the answer. */
export const listPage = async (disk: Disk, ask: Ask): Promise<Page> => {
  const [prefix, delimiter, after] = [
    toBinary(ask.prefix),
    toBinary(ask.delimiter),
    toBinary(ask.after),
  ]
  // A marker that is a common prefix itself stands for all that is under it.
  const cursor: Cursor = {
    after,
    wholly: after.startsWith(prefix) && rollUp(after, prefix, delimiter) === after,
  }
  const keys: string[] = []
  const prefixes: string[] = []
  let last = after
  if (ask.limit === 0) return { keys, prefixes, next: null }
  for await (const key of walkKeys(disk, ask.bucket, cursor, prefix)) {
    if (keys.length + prefixes.length === ask.limit)
      return { keys, prefixes, next: fromBinary(last) }
    const common = rollUp(key, prefix, delimiter)
    last = common ?? key
    if (common === null) keys.push(fromBinary(key))
    else {
      prefixes.push(fromBinary(common))
      cursor.after = common
      cursor.wholly = true
    }
  }
  return { keys, prefixes, next: null }
}

type Listed = { readonly key: string; readonly object: ObjectInfo }

/** What vanished between the walk and the look is left out. */
const lookAtAll = async (
  disk: Disk,
  bucket: string,
  keys: readonly string[],
): Promise<readonly Listed[]> => {
  const found = await mapLimited(keys, LOOKS_AT_ONCE, async (key) => ({
    key,
    object: await lookAt(disk, { bucket, key }),
  }))
  return found.flatMap(({ key, object }) => (object === null ? [] : [{ key, object }]))
}

/** How names stand in a listing: as they are, or percent-encoded where the client asked for it. */
export const namer = (request: S3Request): ((name: string) => string) => {
  const encoding = queryOf(request, 'encoding-type')
  if (encoding !== undefined && encoding !== 'url') {
    throw refuse('InvalidArgument', 'Invalid Encoding Method specified in Request')
  }
  return encoding === 'url' ? (name) => encodePiece(name).replaceAll('%2F', '/') : (name) => name
}

const contents = (
  { key, object: { metadata, modified, size } }: Listed,
  name: (text: string) => string,
): string =>
  group(
    'Contents',
    field('Key', name(key)),
    field('LastModified', new Date(modified).toISOString()),
    field('ETag', quoted(metadata.etag)),
    ...(metadata.checksum === null
      ? []
      : [
          field('ChecksumAlgorithm', metadata.checksum.name.toUpperCase()),
          field('ChecksumType', metadata.checksum.type),
        ]),
    field('Size', size),
    field('StorageClass', 'STANDARD'),
  )

const tokenOf = (key: string): string => Buffer.from(key).toString('base64url')

const keyOfToken = (token: string): string => {
  const key = Buffer.from(token, 'base64url').toString('utf8')
  if (token === '' || tokenOf(key) !== token) {
    throw refuse('InvalidArgument', 'The continuation token provided is incorrect')
  }
  return key
}

const optional = (name: string, text: string | undefined): string =>
  text === undefined ? '' : field(name, text)

/** ListObjects (version 1) and ListObjectsV2. */
export const listObjects = async (exchange: Exchange): Promise<void> => {
  const { disk, request } = exchange
  const bucket = await needBucket(exchange)
  const name = namer(request)
  const two = queryOf(request, 'list-type') === '2'
  const prefix = queryOf(request, 'prefix') ?? ''
  const delimiter = queryOf(request, 'delimiter') ?? ''
  const token = two ? queryOf(request, 'continuation-token') : undefined
  const start = queryOf(request, two ? 'start-after' : 'marker')
  const after = token === undefined ? (start ?? '') : keyOfToken(token)
  const maxKeys = countOf(request, 'max-keys', MAX_KEYS)
  const limit = Math.min(maxKeys, MAX_KEYS)
  const page = await listPage(disk, { bucket, prefix, delimiter, after, limit })
  const listed = await lookAtAll(disk, bucket, page.keys)
  const versionTwo = [
    field('KeyCount', listed.length + page.prefixes.length),
    optional('ContinuationToken', token),
    optional('StartAfter', start === undefined ? undefined : name(start)),
    optional('NextContinuationToken', page.next === null ? undefined : tokenOf(page.next)),
  ]
  const versionOne = [
    field('Marker', name(start ?? '')),
    optional('NextMarker', page.next === null ? undefined : name(page.next)),
  ]
  const xml = xmlDocument(
    'ListBucketResult',
    field('Name', bucket),
    field('Prefix', name(prefix)),
    ...(two ? versionTwo : versionOne),
    field('MaxKeys', limit),
    delimiter === '' ? '' : field('Delimiter', name(delimiter)),
    optional('EncodingType', queryOf(request, 'encoding-type')),
    field('IsTruncated', page.next !== null),
    ...listed.map((one) => contents(one, name)),
    ...page.prefixes.map((one) => group('CommonPrefixes', field('Prefix', name(one)))),
  )
  answerXml(exchange, xml)
}
