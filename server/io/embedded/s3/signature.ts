import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { MINUTE, SECOND, type Ms } from '#shared/units.ts'
import { refuse } from './refusal.ts'
import { hasQuery, queryOf, type S3Request } from './request.ts'
import { canonicalQuery, encodePath } from './uri.ts'

/**
 * Signature Version 4, the verifying half. A request is believed only when host, every x-amz-* header and Content-MD5 that
 * it carries are signed. Content-Type need not be (restic sends it unsigned; it decides nothing but what GET repeats).
 */
const ALGORITHM = 'AWS4-HMAC-SHA256'
const MAX_SKEW: Ms = 15 * MINUTE
const MAX_EXPIRES_SECONDS = 604_800

export const EMPTY_SHA256 = createHash('sha256').digest('hex')

/** What signs the chunks of an aws-chunked body, each signature chained to the one before. */
export type ChunkSeed = {
  readonly signingKey: Buffer
  readonly date: string
  readonly scope: string
  readonly signature: string
}

/** How far the signature covers the body. */
export type PayloadRule =
  | { readonly kind: 'sha256'; readonly hex: string }
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'signed-chunks'; readonly trailer: boolean; readonly seed: ChunkSeed }
  | { readonly kind: 'unsigned-chunks' }

/** Who asks, proven, and what was proven about the body. */
export type Authenticated = { readonly accessKey: string; readonly payload: PayloadRule }

export type Authority = {
  readonly keys: ReadonlyMap<string, string>
  readonly region: string
  readonly now: Ms
}

type Claim = {
  readonly accessKey: string
  readonly date: string
  readonly region: string
  readonly scope: string
  readonly signedHeaders: readonly string[]
  readonly signature: string
  /** `YYYYMMDDTHHMMSSZ` */
  readonly time: string
  readonly payloadHash: string
  readonly presigned: boolean
}

const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest()

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

const derivedKeys = new Map<string, Buffer>()

/** One derivation costs four HMACs; a day's worth of scopes is kept. */
const signingKeyOf = (secret: string, date: string, region: string): Buffer => {
  const name = `${date}/${region}/${sha256(secret)}`
  const known = derivedKeys.get(name)
  if (known !== undefined) return known
  const key = hmac(hmac(hmac(hmac(`AWS4${secret}`, date), region), 's3'), 'aws4_request')
  if (derivedKeys.size >= 64) derivedKeys.clear()
  derivedKeys.set(name, key)
  return key
}

/** The instant of `YYYYMMDDTHHMMSSZ`, or `AccessDenied`. */
const instantOf = (time: string): Ms => {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(time)
  const [, y, mo, d, h, mi, s] = parts ?? []
  const instant = Date.parse(`${y ?? ''}-${mo ?? ''}-${d ?? ''}T${h ?? ''}:${mi ?? ''}:${s ?? ''}Z`)
  if (parts === null || Number.isNaN(instant)) {
    throw refuse('AccessDenied', 'A valid x-amz-date (YYYYMMDDTHHMMSSZ) is required.')
  }
  return instant
}

const compactOf = (instant: Ms): string =>
  `${new Date(instant).toISOString().replaceAll(/[:-]/g, '').slice(0, 15)}Z`

const timeOfHeaders = (request: S3Request): string => {
  const amz = request.headers.get('x-amz-date')
  if (amz !== undefined) return amz
  const instant = Date.parse(request.headers.get('date') ?? '')
  if (Number.isNaN(instant))
    throw refuse('AccessDenied', 'A x-amz-date or Date header is required.')
  return compactOf(instant)
}

type Credential = Pick<Claim, 'accessKey' | 'date' | 'region' | 'scope'>

const parseCredential = (text: string, malformed: () => Error): Credential => {
  const pieces = text.split('/')
  const [date, region, service, end] = pieces.slice(-4)
  const accessKey = pieces.slice(0, -4).join('/')
  if (accessKey === '' || date === undefined || region === undefined) throw malformed()
  if (service !== 's3' || end !== 'aws4_request' || !/^\d{8}$/.test(date)) throw malformed()
  return { accessKey, date, region, scope: `${date}/${region}/s3/aws4_request` }
}

const SIGNATURE = /^[0-9a-f]{64}$/

const headerClaim = (request: S3Request, authorization: string): Claim => {
  const malformed = (): Error => refuse('AuthorizationHeaderMalformed')
  const fields = new Map(
    authorization
      .slice(ALGORITHM.length)
      .split(',')
      .map((pair) => {
        const at = pair.indexOf('=')
        return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()] as const
      }),
  )
  const signature = fields.get('Signature') ?? ''
  const signedHeaders = fields.get('SignedHeaders') ?? ''
  if (!SIGNATURE.test(signature) || signedHeaders === '') throw malformed()
  const payloadHash = request.headers.get('x-amz-content-sha256')
  if (payloadHash === undefined) {
    throw refuse('InvalidRequest', 'Missing required header for this request: x-amz-content-sha256')
  }
  return {
    ...parseCredential(fields.get('Credential') ?? '', malformed),
    signedHeaders: signedHeaders.split(';'),
    signature,
    time: timeOfHeaders(request),
    payloadHash,
    presigned: false,
  }
}

const queryClaim = (request: S3Request): Claim => {
  const malformed = (): Error => refuse('AuthorizationQueryParametersError')
  const value = (name: string): string => queryOf(request, name) ?? ''
  const signature = value('X-Amz-Signature')
  const signedHeaders = value('X-Amz-SignedHeaders')
  const time = value('X-Amz-Date')
  if (!SIGNATURE.test(signature) || signedHeaders === '' || time === '') throw malformed()
  if (value('X-Amz-Algorithm') !== ALGORITHM) throw malformed()
  const payloadHash =
    request.headers.get('x-amz-content-sha256') ?? queryOf(request, 'X-Amz-Content-Sha256')
  return {
    ...parseCredential(value('X-Amz-Credential'), malformed),
    signedHeaders: signedHeaders.split(';'),
    signature,
    time,
    payloadHash: payloadHash ?? 'UNSIGNED-PAYLOAD',
    presigned: true,
  }
}

const claimOf = (request: S3Request): Claim => {
  const authorization = request.headers.get('authorization')
  const inQuery = hasQuery(request, 'X-Amz-Algorithm') || hasQuery(request, 'X-Amz-Signature')
  if (authorization !== undefined && inQuery) {
    throw refuse('InvalidArgument', 'Only one authentication mechanism is allowed.')
  }
  if (inQuery) return queryClaim(request)
  if (authorization?.startsWith(`${ALGORITHM} `) === true)
    return headerClaim(request, authorization)
  if (authorization !== undefined || hasQuery(request, 'AWSAccessKeyId')) {
    throw refuse(
      'InvalidRequest',
      `The authorization mechanism you have provided is not supported. Please use ${ALGORITHM}.`,
    )
  }
  throw refuse('AccessDenied')
}

const checkTime = (request: S3Request, claim: Claim, now: Ms): void => {
  const signed = instantOf(claim.time)
  if (claim.time.slice(0, 8) !== claim.date) {
    throw refuse(
      'SignatureDoesNotMatch',
      'The date of the credential scope is not that of the request.',
    )
  }
  if (!claim.presigned) {
    if (Math.abs(now - signed) > MAX_SKEW) {
      throw refuse('RequestTimeTooSkewed', undefined, {
        RequestTime: claim.time,
        ServerTime: new Date(now).toISOString(),
        MaxAllowedSkewMilliseconds: String(MAX_SKEW),
      })
    }
    return
  }
  const expires = queryOf(request, 'X-Amz-Expires') ?? ''
  if (!/^\d{1,6}$/.test(expires) || Number(expires) < 1 || Number(expires) > MAX_EXPIRES_SECONDS) {
    throw refuse('AuthorizationQueryParametersError', 'X-Amz-Expires must be 1 to 604800 seconds.')
  }
  if (signed - now > MAX_SKEW) throw refuse('AccessDenied', 'The request is not yet valid.')
  if (now > signed + Number(expires) * SECOND) {
    throw refuse('AccessDenied', 'Request has expired', {
      'X-Amz-Expires': expires,
      ServerTime: new Date(now).toISOString(),
    })
  }
}

const mustBeSigned = (name: string): boolean =>
  name.startsWith('x-amz-') || name === 'host' || name === 'content-md5'

const checkCoverage = (request: S3Request, signedHeaders: readonly string[]): void => {
  const signed = new Set(signedHeaders)
  const missing = [...request.headers.keys()].filter(
    (name) => mustBeSigned(name) && !signed.has(name),
  )
  if (!signed.has('host')) missing.push('host')
  if (missing.length > 0) {
    throw refuse(
      'AccessDenied',
      'There were headers present in the request which were not signed',
      {
        HeadersNotSigned: missing.join(', '),
      },
    )
  }
}

const canonicalRequest = (request: S3Request, claim: Claim): string => {
  const headers = claim.signedHeaders.map(
    (name) => `${name}:${(request.headers.get(name) ?? '').replaceAll(/ {2,}/g, ' ')}\n`,
  )
  return [
    request.method,
    encodePath(request.path),
    canonicalQuery(request.query, 'X-Amz-Signature'),
    headers.join(''),
    claim.signedHeaders.join(';'),
    claim.payloadHash,
  ].join('\n')
}

const sameText = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b))

const payloadRule = (claim: Claim, signingKey: Buffer): PayloadRule => {
  const seed = { signingKey, date: claim.time, scope: claim.scope, signature: claim.signature }
  switch (claim.payloadHash) {
    case 'UNSIGNED-PAYLOAD':
      return { kind: 'unsigned' }
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { kind: 'unsigned-chunks' }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
      return { kind: 'signed-chunks', trailer: false, seed }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      return { kind: 'signed-chunks', trailer: true, seed }
  }
  const hex = claim.payloadHash.toLowerCase()
  if (SIGNATURE.test(hex)) return { kind: 'sha256', hex }
  throw refuse(
    'InvalidArgument',
    'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a supported STREAMING- value, or a SHA-256 in hex.',
  )
}

/** Proves who sent the request, or throws the refusal that S3 gives. Reads nothing of the body. */
export const authenticate = (request: S3Request, authority: Authority): Authenticated => {
  const claim = claimOf(request)
  if (request.headers.has('x-amz-security-token') || hasQuery(request, 'X-Amz-Security-Token')) {
    throw refuse('InvalidToken')
  }
  const secret = authority.keys.get(claim.accessKey)
  if (secret === undefined) {
    throw refuse('InvalidAccessKeyId', undefined, { AWSAccessKeyId: claim.accessKey })
  }
  if (claim.region !== authority.region) {
    const message = `the region '${claim.region}' is wrong; expecting '${authority.region}'`
    const code = claim.presigned
      ? 'AuthorizationQueryParametersError'
      : 'AuthorizationHeaderMalformed'
    throw refuse(code, message, { Region: authority.region })
  }
  checkTime(request, claim, authority.now)
  checkCoverage(request, claim.signedHeaders)
  const signingKey = signingKeyOf(secret, claim.date, claim.region)
  const toSign = [ALGORITHM, claim.time, claim.scope, sha256(canonicalRequest(request, claim))]
  if (!sameText(hmac(signingKey, toSign.join('\n')).toString('hex'), claim.signature)) {
    throw refuse('SignatureDoesNotMatch')
  }
  return { accessKey: claim.accessKey, payload: payloadRule(claim, signingKey) }
}

/** The signature of one chunk whose data hash to `sha256Hex`. */
export const chunkSignature = (seed: ChunkSeed, previous: string, sha256Hex: string): string =>
  hmac(
    seed.signingKey,
    [`${ALGORITHM}-PAYLOAD`, seed.date, seed.scope, previous, EMPTY_SHA256, sha256Hex].join('\n'),
  ).toString('hex')

/** The signature of the trailing headers, given as `name:value\n` lines. */
export const trailerSignature = (seed: ChunkSeed, previous: string, lines: string): string =>
  hmac(
    seed.signingKey,
    ['AWS4-HMAC-SHA256-TRAILER', seed.date, seed.scope, previous, sha256(lines)].join('\n'),
  ).toString('hex')

export const sameSignature = sameText
