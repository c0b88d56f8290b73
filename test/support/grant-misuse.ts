/** What a grant could be tried for beyond the one PUT that it is for. */
import { createHash } from 'node:crypto'
import type { Seeded } from './seeded.ts'
import type { UsedGrant } from './used-grants.ts'

/** Exactly this goes on the wire. */
export type WireRequest = {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export type Misuse = { readonly name: string; readonly request: WireRequest }

/** As it was meant. */
export const rightUse = ({ grant, body }: UsedGrant): WireRequest => ({
  method: 'PUT',
  url: new URL(grant.url).pathname,
  headers: grant.headers,
  body,
})

const withHeaders = (
  request: WireRequest,
  changed: Readonly<Record<string, string | null>>,
): WireRequest => {
  const headers = { ...request.headers, ...changed }
  return {
    ...request,
    headers: Object.fromEntries(
      Object.entries(headers).filter((pair): pair is [string, string] => pair[1] !== null),
    ),
  }
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

const flipped = (body: Buffer, chance: Seeded): Buffer => {
  const other = Buffer.from(body)
  const at = chance.below(other.length)
  other[at] = (other[at] ?? 0) ^ (1 << chance.below(8))
  return other
}

/** Other bytes under the grant's key: as they are, and with every header made to fit that could be. */
export const otherBytes = (use: UsedGrant, chance: Seeded): Misuse[] => {
  const right = rightUse(use)
  const other = flipped(use.body, chance)
  const longer = Buffer.concat([use.body, Buffer.from('x')])
  const shorter = use.body.subarray(0, -1)
  const fit = (body: Buffer): WireRequest => {
    const sum = sha256(body)
    return withHeaders(
      { ...right, body },
      { 'content-length': String(body.length), 'x-amz-content-sha256': sum },
    )
  }
  const sized = (body: Buffer): WireRequest =>
    withHeaders({ ...right, body }, { 'content-length': String(body.length) })
  return [
    { name: 'one bit flipped', request: { ...right, body: other } },
    { name: 'one bit flipped, its own SHA-256', request: fit(other) },
    {
      name: 'one bit flipped, said to be unsigned',
      request: withHeaders(
        { ...right, body: other },
        { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
      ),
    },
    {
      name: 'one bit flipped, without a SHA-256',
      request: withHeaders({ ...right, body: other }, { 'x-amz-content-sha256': null }),
    },
    {
      name: 'one bit flipped, overwriting allowed',
      request: withHeaders({ ...right, body: other }, { 'if-none-match': null }),
    },
    { name: 'one byte more', request: sized(longer) },
    { name: 'one byte less', request: sized(shorter) },
    { name: 'one byte more, its own SHA-256', request: fit(longer) },
    { name: 'nothing', request: sized(Buffer.alloc(0)) },
  ]
}

/** Other names that would be worth having: beside it, in another vault, another bucket, none. */
export const otherKeys = (use: UsedGrant, others: readonly string[]): Misuse[] => {
  const right = rightUse(use)
  return others.map((url) => ({ name: `as ${url}`, request: { ...right, url } }))
}

/** What S3 would act on. */
const ADDED: Readonly<Record<string, string>> = {
  'x-amz-acl': 'public-read',
  'x-amz-grant-read': 'uri="http://acs.amazonaws.com/groups/global/AllUsers"',
  'x-amz-meta-mine': 'yes',
  'x-amz-tagging': 'mine=yes',
  'x-amz-storage-class': 'REDUCED_REDUNDANCY',
  'x-amz-website-redirect-location': '/elsewhere',
  'x-amz-server-side-encryption': 'AES256',
  'x-amz-object-lock-mode': 'COMPLIANCE',
}

export const addedHeaders = (use: UsedGrant, copyFrom: string): Misuse[] =>
  Object.entries({ ...ADDED, 'x-amz-copy-source': copyFrom }).map(([name, value]) => ({
    name: `with ${name}`,
    request: withHeaders(rightUse(use), { [name]: value }),
  }))

const QUERIES = ['acl', 'tagging', 'retention', 'uploads', 'partNumber=1&uploadId=1', 'versionId=1']

export const addedQueries = (use: UsedGrant): Misuse[] => {
  const right = rightUse(use)
  return QUERIES.map((query) => ({
    name: `with ?${query}`,
    request: { ...right, url: `${right.url}?${query}` },
  }))
}

const EMPTY = sha256(Buffer.alloc(0))

/** Other methods, on the object and on what contains it; as it was signed, and with the headers that such a request has. */
export const otherMethods = (use: UsedGrant, bucket: string): Misuse[] => {
  const right = rightUse(use)
  const bare = withHeaders(
    { ...right, body: Buffer.alloc(0) },
    { 'content-length': null, 'if-none-match': null, 'x-amz-content-sha256': EMPTY },
  )
  const targets = [
    ['GET', right.url],
    ['HEAD', right.url],
    ['DELETE', right.url],
    ['POST', `${right.url}?uploads`],
    ['GET', `/${bucket}?list-type=2`],
    ['GET', `/${bucket}?uploads`],
    ['GET', `/${bucket}?location`],
    ['DELETE', `/${bucket}`],
    ['GET', '/'],
  ] as const
  return targets.flatMap(([method, url]) => [
    {
      name: `${method} ${url}, as signed`,
      request: { ...right, method, url },
    },
    { name: `${method} ${url}`, request: { ...bare, method, url } },
  ])
}
