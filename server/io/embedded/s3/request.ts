import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { refuse } from './refusal.ts'
import { decodePiece, parseQuery, type Query } from './uri.ts'

/**
 * The other end of the connection. Silence is timed only while it is the client's turn: a long fsync or a listing of many
 * foreign files of ours must not cut it off.
 */
export type Client = {
  /** Its turn to send: says 100 Continue where it waits for that. */
  expectMore(): void
  /** Our turn. */
  busy(): void
  /** Its turn to read. */
  expectReading(): void
}

/** A request taken apart but not yet believed. */
export type S3Request = {
  readonly method: string
  /** The decoded path as sent; with virtual hosting the bucket is not in it. */
  readonly path: string
  /** Empty: the service itself. */
  readonly bucket: string
  /** Empty: the bucket itself. */
  readonly key: string
  readonly query: Query
  /** Lower-case names; repeated headers joined by a comma, outer blanks removed. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: IncomingMessage
  readonly client: Client
}

export const MAX_KEY_BYTES = 1024

const foldHeaders = (raw: readonly string[]): ReadonlyMap<string, string> => {
  const headers = new Map<string, string>()
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = (raw[at] ?? '').toLowerCase()
    const value = (raw[at + 1] ?? '').trim()
    const before = headers.get(name)
    headers.set(name, before === undefined ? value : `${before},${value}`)
  }
  return headers
}

/**
 * The bucket in front of the host name, for `<bucket>.localhost`, `<bucket>.s3.anything`, `<bucket>.s3-anything` and
 * `<bucket>.<our own host name>`. Any other name is taken as that of the endpoint (path-style).
 */
export const bucketOfHost = (host: string, own: string): string => {
  const name = host.replace(/:\d*$/, '').toLowerCase()
  if (name.startsWith('[') || isIP(name) !== 0) return ''
  const ends = ['.localhost', ...(isIP(own) === 0 ? [`.${own.toLowerCase()}`] : [])]
  for (const end of ends) if (name.endsWith(end)) return withoutService(name.slice(0, -end.length))
  return /^(.+?)\.s3[.-]/.exec(name)?.[1] ?? ''
}

const withoutService = (name: string): string => (name === 's3' ? '' : name.replace(/\.s3$/, ''))

const splitTarget = (url: string): readonly [path: string, query: string] => {
  if (!url.startsWith('/') || /[^\x21-\x7e]/.test(url)) throw refuse('InvalidURI')
  const at = url.indexOf('?')
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at + 1)]
}

/** Throws `InvalidURI` or `KeyTooLongError`. `own` is the host name that the endpoint listens on. */
export const parseRequest = (body: IncomingMessage, client: Client, own: string): S3Request => {
  const [rawPath, rawQuery] = splitTarget(body.url ?? '')
  const headers = foldHeaders(body.rawHeaders)
  const path = decodePiece(rawPath)
  const hosted = bucketOfHost(headers.get('host') ?? '', own)
  const slash = path.indexOf('/', 1)
  const bucket = hosted !== '' ? hosted : slash < 0 ? path.slice(1) : path.slice(1, slash)
  const key = hosted !== '' ? path.slice(1) : slash < 0 ? '' : path.slice(slash + 1)
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) throw refuse('KeyTooLongError')
  const method = body.method ?? ''
  return { method, path, bucket, key, query: parseQuery(rawQuery), headers, body, client }
}

/** The first value of a query parameter; `''` where it stands without a value. */
export const queryOf = (request: S3Request, name: string): string | undefined =>
  request.query.find(([known]) => known === name)?.[1]

export const hasQuery = (request: S3Request, name: string): boolean =>
  queryOf(request, name) !== undefined

/** A number parameter within bounds, or `InvalidArgument`. */
export const countOf = (request: S3Request, name: string, otherwise: number): number => {
  const text = queryOf(request, name)
  if (text === undefined || text === '') return otherwise
  if (!/^\d{1,10}$/.test(text)) throw refuse('InvalidArgument', `${name} must be a number.`)
  return Number(text)
}
