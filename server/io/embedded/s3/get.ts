import type { FileHandle } from 'node:fs/promises'
import type { OutgoingHttpHeaders } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { MiB } from '#shared/units.ts'
import { answer, answerXml, needBucket, subjectOf, unquoted, type Exchange } from './exchange.ts'
import { checksumHeaders, objectHeaders, refuseVersion } from './object-headers.ts'
import { isThere, openObject, type ObjectInfo, type OpenedObject } from './objects.ts'
import { refuse } from './refusal.ts'
import { hasQuery, type S3Request } from './request.ts'
import { group, xmlDocument } from './xml.ts'

/** Both ends included, as in HTTP. */
type Span = { readonly first: number; readonly last: number }

/** The one range asked for; null for none, several or one that HTTP says to ignore. Throws `InvalidRange`. */
export const parseRange = (text: string | undefined, size: number): Span | null => {
  const [, from, to] = /^bytes\s*=\s*(\d{0,15})\s*-\s*(\d{0,15})$/.exec(text ?? '') ?? []
  if (from === undefined || to === undefined || (from === '' && to === '')) return null
  const unsatisfiable = (): Error =>
    refuse('InvalidRange', undefined, {
      RangeRequested: text ?? '',
      ActualObjectSize: String(size),
    })
  if (from === '') {
    if (Number(to) === 0 || size === 0) throw unsatisfiable()
    return { first: Math.max(0, size - Number(to)), last: size - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return null
  if (first >= size) throw unsatisfiable()
  return { first, last: to === '' ? size - 1 : Math.min(Number(to), size - 1) }
}

const lists = (header: string, etag: string): boolean =>
  header.split(',').some((one) => one.trim() === '*' || unquoted(one) === etag)

/** HTTP dates have whole seconds. */
const isLater = (modified: number, date: string): boolean | null => {
  const limit = Date.parse(date)
  return Number.isNaN(limit) ? null : Math.floor(modified / 1000) * 1000 > limit
}

/** The preconditions of a read, in the order of RFC 9110 section 13.2.2; throws `PreconditionFailed`. */
export const preconditions = (
  headers: ReadonlyMap<string, string>,
  prefix: string,
  { modified, metadata }: ObjectInfo,
): 'go-on' | 'not-modified' => {
  const given = (name: string): string | undefined => headers.get(prefix + name)
  const failed = (condition: string): Error =>
    refuse('PreconditionFailed', undefined, { Condition: prefix + condition })
  const [match, none] = [given('if-match'), given('if-none-match')]
  const [since, until] = [given('if-modified-since'), given('if-unmodified-since')]
  if (match !== undefined) {
    if (!lists(match, metadata.etag)) throw failed('if-match')
  } else if (until !== undefined && isLater(modified, until) === true) {
    throw failed('if-unmodified-since')
  }
  if (none !== undefined) return lists(none, metadata.etag) ? 'not-modified' : 'go-on'
  return since !== undefined && isLater(modified, since) === false ? 'not-modified' : 'go-on'
}

const rangeOf = (request: S3Request, { size, metadata }: ObjectInfo): Span | null => {
  if (hasQuery(request, 'partNumber'))
    throw refuse('NotImplemented', undefined, { Query: 'partNumber' })
  const only = request.headers.get('if-range')
  if (only !== undefined && unquoted(only) !== metadata.etag) return null
  return parseRange(request.headers.get('range'), size)
}

const extent = (span: Span | null, size: number): OutgoingHttpHeaders =>
  span === null
    ? { 'content-length': size }
    : {
        'content-length': span.last - span.first + 1,
        'content-range': `bytes ${span.first}-${span.last}/${size}`,
      }

const PART = MiB / 2
/** Buffers kept for the next answers. */
const KEPT = 16

/** New ones for each part keep the garbage collector as busy as everything else together. */
const idle: Buffer[] = []
const take = (): Buffer => idle.pop() ?? Buffer.allocUnsafeSlow(PART)

/**
 * The bytes of a span, read ahead by one part, in two buffers by turns. Whoever asks for the next part must have sent the
 * one before. Ends early where the file does.
 */
async function* partsOf(
  handle: FileHandle,
  { first, last }: Span,
  buffers: readonly [Buffer, Buffer],
): AsyncGenerator<Buffer> {
  const read = async (into: Buffer, at: number): Promise<Buffer | null> => {
    const length = Math.min(PART, last - at + 1)
    const { bytesRead } = length > 0 ? await handle.read(into, 0, length, at) : NOTHING
    return bytesRead === length && length > 0 ? into.subarray(0, length) : null
  }
  let [present, other] = buffers
  let at = first
  let next = read(present, at)
  try {
    for (let part = await next; part !== null; part = await next) {
      at += part.length
      ;[present, other] = [other, present]
      next = read(present, at)
      yield part
    }
  } finally {
    // The file is closed after this.
    await next.catch(() => undefined)
  }
}

const NOTHING = { bytesRead: 0 }

const sendBytes = async (
  { request, response }: Exchange,
  object: OpenedObject,
  span: Span | null,
): Promise<void> => {
  request.client.expectReading()
  const { first, last } = span ?? { first: 0, last: object.size - 1 }
  if (last < first) {
    response.end()
    return
  }
  const buffers = [take(), take()] as const
  // All of them is with the operating system then; without that, somebody may still read from them.
  response.once('finish', () => {
    if (idle.length < KEPT) idle.push(...buffers)
  })
  let sent = 0
  const parts = async function* (): AsyncGenerator<Buffer> {
    for await (const part of partsOf(object.handle, { first, last }, buffers)) {
      sent += part.length
      yield part
    }
  }
  // All parts but the last are larger than what a response takes without waiting: `pipeline` asks for more on `drain`.
  await pipeline(parts, response, { end: false })
  // A file that somebody cut short in place: the missing bytes must not look like a finished answer.
  if (sent === last - first + 1) response.end()
  else response.destroy()
}

const send = async (exchange: Exchange, object: OpenedObject): Promise<void> => {
  const { request, response } = exchange
  const headers = objectHeaders(request, object)
  if (preconditions(request.headers, '', object) === 'not-modified') {
    const { etag, 'last-modified': modified } = headers
    answer(exchange, 304, { etag, 'last-modified': modified })
    return
  }
  const span = rangeOf(request, object)
  const checksum =
    span === null && request.headers.get('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED'
      ? checksumHeaders(object.metadata)
      : {}
  response.writeHead(span === null ? 200 : 206, {
    ...headers,
    ...extent(span, object.size),
    ...checksum,
  })
  if (request.method === 'HEAD') {
    request.client.expectReading()
    response.end()
  } else await sendBytes(exchange, object, span)
}

/** GetObject and HeadObject. */
export const getObject = async (exchange: Exchange): Promise<void> => {
  refuseVersion(exchange.request)
  await needBucket(exchange)
  const object = await openObject(exchange.disk, subjectOf(exchange))
  if (object === null) throw refuse('NoSuchKey', undefined, { Key: exchange.request.key })
  try {
    await send(exchange, object)
  } finally {
    await object.handle.close()
  }
}

/** GetObjectTagging: objects have no tags here. Clients ask before they copy in parts. */
export const getTagging = async (exchange: Exchange): Promise<void> => {
  refuseVersion(exchange.request)
  await needBucket(exchange)
  if (!(await isThere(exchange.disk, subjectOf(exchange)))) {
    throw refuse('NoSuchKey', undefined, { Key: exchange.request.key })
  }
  answerXml(exchange, xmlDocument('Tagging', group('TagSet')))
}
