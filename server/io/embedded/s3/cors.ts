import { readFile, rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { receiveText } from './body.ts'
import { ifThere, isBucketName, syncFolder, type Disk } from './disk.ts'
import { answer, answerXml, needBucket, type Exchange } from './exchange.ts'
import { isObject, parseJson } from './record.ts'
import { childrenOf, parseXml, textOf, type Element } from './parse-xml.ts'
import { refuse } from './refusal.ts'
import type { S3Request } from './request.ts'
import { openTemp } from './temps.ts'
import { field, group, xmlDocument } from './xml.ts'

/** Which pages of other origins a browser may let read a bucket. Signatures are asked for all the same. */
type Rule = {
  readonly id: string
  readonly origins: readonly string[]
  readonly methods: readonly string[]
  readonly headers: readonly string[]
  readonly exposed: readonly string[]
  /** Seconds, or null. */
  readonly maxAge: number | null
}

const MAX_XML = 65_536
const MAX_RULES = 100
const METHODS = new Set(['GET', 'PUT', 'HEAD', 'POST', 'DELETE'])

const rulesPath = (disk: Disk, bucket: string): string =>
  join(disk.hidden, 'cors', `${bucket}.json`)

const textsOf = (element: Element, name: string): readonly string[] =>
  childrenOf(element, name).map(({ text }) => text.trim())

const oneStar = (pattern: string): boolean => pattern.split('*').length <= 2

const ruleOf = (element: Element): Rule => {
  const age = textOf(element, 'MaxAgeSeconds')?.trim() ?? ''
  const rule = {
    id: textOf(element, 'ID')?.trim() ?? '',
    origins: textsOf(element, 'AllowedOrigin'),
    methods: textsOf(element, 'AllowedMethod'),
    headers: textsOf(element, 'AllowedHeader'),
    exposed: textsOf(element, 'ExposeHeader'),
    maxAge: age === '' ? null : Number(age),
  }
  const sound =
    rule.origins.length > 0 &&
    rule.methods.length > 0 &&
    rule.origins.every(oneStar) &&
    rule.headers.every(oneStar) &&
    rule.exposed.every((name) => /^[\w-]+$/.test(name)) &&
    /^\d{0,9}$/.test(age)
  if (!sound) throw refuse('MalformedXML')
  const strange = rule.methods.find((method) => !METHODS.has(method))
  if (strange !== undefined) {
    throw refuse('InvalidRequest', `Found unsupported HTTP method in CORS config: ${strange}`)
  }
  return rule
}

const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((text) => typeof text === 'string') : []

/** We wrote the file ourselves, whole; what does not parse counts as no rule. */
const readRules = async (disk: Disk, bucket: string): Promise<readonly Rule[] | null> => {
  const text = await ifThere(readFile(rulesPath(disk, bucket), 'utf8'))
  const rules = text === null ? null : parseJson(text)
  if (!Array.isArray(rules)) return null
  return rules.filter(isObject).map((rule) => ({
    id: typeof rule['id'] === 'string' ? rule['id'] : '',
    origins: texts(rule['origins']),
    methods: texts(rule['methods']),
    headers: texts(rule['headers']),
    exposed: texts(rule['exposed']),
    maxAge: typeof rule['maxAge'] === 'number' ? rule['maxAge'] : null,
  }))
}

export const putCors = async (exchange: Exchange): Promise<void> => {
  const { disk, request, payload } = exchange
  const bucket = await needBucket(exchange)
  const root = parseXml(await receiveText({ request, payload }, MAX_XML))
  const rules = childrenOf(root, 'CORSRule').map(ruleOf)
  if (root.name !== 'CORSConfiguration' || rules.length === 0 || rules.length > MAX_RULES) {
    throw refuse('MalformedXML')
  }
  const temp = await openTemp(disk.temps)
  try {
    await temp.handle.writeFile(JSON.stringify(rules))
    await temp.handle.sync()
    await temp.moveTo(rulesPath(disk, bucket))
    await syncFolder(disk, join(disk.hidden, 'cors'))
  } finally {
    await temp.discard()
  }
  answer(exchange, 200)
}

export const getCors = async (exchange: Exchange): Promise<void> => {
  const rules = await readRules(exchange.disk, await needBucket(exchange))
  if (rules === null) throw refuse('NoSuchCORSConfiguration')
  const all = (name: string, values: readonly string[]): string =>
    values.map((value) => field(name, value)).join('')
  const elements = rules.map((rule) =>
    group(
      'CORSRule',
      rule.id === '' ? '' : field('ID', rule.id),
      all('AllowedOrigin', rule.origins),
      all('AllowedMethod', rule.methods),
      all('AllowedHeader', rule.headers),
      all('ExposeHeader', rule.exposed),
      rule.maxAge === null ? '' : field('MaxAgeSeconds', rule.maxAge),
    ),
  )
  answerXml(exchange, xmlDocument('CORSConfiguration', ...elements))
}

export const deleteCors = async (exchange: Exchange): Promise<void> => {
  const { disk } = exchange
  await rm(rulesPath(disk, await needBucket(exchange)), { force: true })
  await syncFolder(disk, join(disk.hidden, 'cors'))
  answer(exchange, 204)
}

const matches = (pattern: string, text: string): boolean => {
  const [before = '', after] = pattern.split('*')
  if (after === undefined) return pattern === text
  const room = text.length >= before.length + after.length
  return room && text.startsWith(before) && text.endsWith(after)
}

type Wish = {
  readonly origin: string
  readonly method: string
  readonly headers: readonly string[]
}

const allows = (rule: Rule, { origin, method, headers }: Wish): boolean =>
  rule.origins.some((pattern) => matches(pattern, origin)) &&
  rule.methods.includes(method) &&
  headers.every((name) => rule.headers.some((pattern) => matches(pattern.toLowerCase(), name)))

const findRule = async (disk: Disk, bucket: string, wish: Wish): Promise<Rule | null> => {
  if (!isBucketName(bucket)) return null
  const rules = await readRules(disk, bucket)
  return rules?.find((rule) => allows(rule, wish)) ?? null
}

type Asked = {
  readonly disk: Disk
  readonly request: S3Request
  readonly response: ServerResponse
}

const allow = (response: ServerResponse, rule: Rule, origin: string): void => {
  const anyone = rule.origins.includes('*')
  response.setHeader('access-control-allow-origin', anyone ? '*' : origin)
  response.setHeader('access-control-allow-methods', rule.methods.join(', '))
  if (!anyone) response.setHeader('access-control-allow-credentials', 'true')
  if (rule.exposed.length > 0) {
    response.setHeader('access-control-expose-headers', rule.exposed.join(', '))
  }
  response.setHeader(
    'vary',
    'Origin, Access-Control-Request-Headers, Access-Control-Request-Method',
  )
}

/** For an ordinary request from a page of another origin: what its browser needs to let it read the answer. */
export const addCorsHeaders = async ({ disk, request, response }: Asked): Promise<void> => {
  const origin = request.headers.get('origin')
  if (origin === undefined) return
  const wish = { origin, method: request.method, headers: [] }
  const rule = await findRule(disk, request.bucket, wish)
  if (rule !== null) allow(response, rule, origin)
}

/** The browser's question before such a request; nobody signs it. Throws `AccessForbidden`. */
export const preflight = async ({ disk, request, response }: Asked): Promise<void> => {
  const origin = request.headers.get('origin')
  const method = request.headers.get('access-control-request-method')
  if (origin === undefined || method === undefined) {
    throw refuse('BadRequest', 'Insufficient information. Origin request header needed.')
  }
  const names = (request.headers.get('access-control-request-headers') ?? '').split(',')
  const headers = names.map((name) => name.trim().toLowerCase()).filter((name) => name !== '')
  const rule = await findRule(disk, request.bucket, { origin, method, headers })
  if (rule === null) throw refuse('AccessForbidden')
  allow(response, rule, origin)
  if (headers.length > 0) response.setHeader('access-control-allow-headers', headers.join(', '))
  if (rule.maxAge !== null) response.setHeader('access-control-max-age', rule.maxAge)
  request.client.expectReading()
  response.writeHead(200, { 'content-length': 0 })
  response.end()
}
