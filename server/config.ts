/** Flags and environment, parsed once into one frozen value: the only reader of process.env. */
import { join, resolve } from 'node:path'
import { fail } from '#shared/errors.ts'
import { utf8 } from '#shared/format/bytes.ts'
import { type Secret, secret } from '#shared/secret.ts'
import { MiB } from '#shared/units.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** A port that was asked for must be had; a usual one gives way to the next that is free. */
export type PortChoice = { readonly port: number; readonly asked: boolean }

export type Config = {
  /** Absolute. */
  readonly data: string
  /** `null`: the embedded server. The URL may hold a password. */
  readonly databaseUrl: Secret | null
  readonly masterKey: { readonly text: Secret | null; readonly file: string | null }
  readonly host: string
  readonly http: PortChoice
  readonly s3: PortChoice
  /** Where others reach the API, if not at the address that it listens on; where commands find it. */
  readonly publicUrl: string | null
  /** The token of commands. */
  readonly token: Secret | null
  readonly requestsPerMinute: number
  readonly trustedProxies: readonly string[]
  /** Bytes a second that verifications may read; `null`: as fast as it goes. */
  readonly verifyRate: number | null
  /** `null`: what suits the command. */
  readonly logLevel: LogLevel | null
}

export type Environment = Readonly<Record<string, string | undefined>>
export type Flags = { readonly data?: string | undefined }

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
const USUAL = { http: 8420, s3: 8421, requests: 600 }

const wrong = (field: string, problem: string): Error =>
  fail('VALIDATION_FAILED', { field, problem })

/** An empty variable counts as unset. */
const given = (environment: Environment, name: string): string | null => {
  const text = environment[name]?.trim() ?? ''
  return text === '' ? null : text
}

const whole = (environment: Environment, name: string, most: number): number | null => {
  const text = given(environment, name)
  if (text === null) return null
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > most)
    throw wrong(name, `"${text}" is not a whole number from 0 to ${most}`)
  return value
}

const port = (environment: Environment, name: string, usual: number): PortChoice => {
  const asked = whole(environment, name, 65_535)
  return asked === null ? { port: usual, asked: false } : { port: asked, asked: true }
}

const level = (environment: Environment): LogLevel | null => {
  const text = given(environment, 'HOLDFAST_LOG_LEVEL')
  if (text === null) return null
  const found = LEVELS.find((name) => name === text.toLowerCase())
  if (found === undefined) throw wrong('HOLDFAST_LOG_LEVEL', `must be one of ${LEVELS.join(', ')}`)
  return found
}

const url = (environment: Environment, name: string): string | null => {
  const text = given(environment, name)
  if (text === null) return null
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol))
    throw wrong(name, `"${text}" is not an http or https URL`)
  return text.replace(/\/+$/, '')
}

/** MiB a second; 0 as if it were not given. */
const verifyRate = (environment: Environment): number | null => {
  const rate = whole(environment, 'HOLDFAST_VERIFY_RATE', 1_000_000)
  return rate === null || rate === 0 ? null : rate * MiB
}

const hidden = (environment: Environment, name: string): Secret | null => {
  const text = given(environment, name)
  return text === null ? null : secret(utf8(text))
}

/** Throws `VALIDATION_FAILED` naming the variable that is wrong. */
export const readConfig = (flags: Flags, environment: Environment = process.env): Config => {
  const data = resolve(flags.data ?? given(environment, 'HOLDFAST_DATA') ?? 'data')
  const keyFile = given(environment, 'HOLDFAST_MASTER_KEY_FILE')
  const proxies = given(environment, 'HOLDFAST_TRUSTED_PROXIES')
  return Object.freeze({
    data,
    databaseUrl: hidden(environment, 'DATABASE_URL'),
    masterKey: {
      text: hidden(environment, 'HOLDFAST_MASTER_KEY'),
      file: keyFile === null ? null : resolve(keyFile),
    },
    host: given(environment, 'HOLDFAST_HOST') ?? '127.0.0.1',
    http: port(environment, 'HOLDFAST_PORT', USUAL.http),
    s3: port(environment, 'HOLDFAST_S3_PORT', USUAL.s3),
    publicUrl: url(environment, 'HOLDFAST_URL'),
    token: hidden(environment, 'HOLDFAST_TOKEN'),
    requestsPerMinute: whole(environment, 'HOLDFAST_RATE_LIMIT', 1_000_000) ?? USUAL.requests,
    verifyRate: verifyRate(environment),
    trustedProxies: proxies === null ? [] : proxies.split(',').map((part) => part.trim()),
    logLevel: level(environment),
  })
}

/** All that the agent beside us gets of our environment: it must not know our database, our keys or our tokens. */
const HANDED_ON =
  /^(PATH|HOME|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|TMPDIR|NODE_(OPTIONS|EXTRA_CA_CERTS)|SSL_CERT_(FILE|DIR)|HOLDFAST_(LOG_LEVEL|THREADS))$/

export const agentEnvironment = (environment: Environment = process.env): Environment =>
  Object.fromEntries(Object.entries(environment).filter(([name]) => HANDED_ON.test(name)))

/** The files of a data folder. Everything in it but `s3` is private to the control plane. */
export const placesIn = (data: string): Readonly<Record<PlaceName, string>> => ({
  lock: join(data, 'lock'),
  masterKey: join(data, 'master.key'),
  token: join(data, 'token'),
  running: join(data, 'control-plane.json'),
  embeddedStorage: join(data, 'embedded-storage'),
  postgres: join(data, 'postgres'),
  s3: join(data, 's3'),
  s3Credentials: join(data, 's3-credentials'),
  agent: join(data, 'agent'),
  agentPolicy: join(data, 'agent-policy.json'),
  logs: join(data, 'logs'),
})

type PlaceName =
  | 'lock'
  | 'masterKey'
  | 'token'
  | 'running'
  | 'embeddedStorage'
  | 'postgres'
  | 's3'
  | 's3Credentials'
  | 'agent'
  | 'agentPolicy'
  | 'logs'
