/** The SDK's client as every call of ours uses it, and what it is told of the store's clock. */
import { createHash } from 'node:crypto'
import { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { type Failure, fail, problemOf } from '#shared/errors.ts'
import { SECOND, type Ms } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { Credentials } from './sign.ts'

export type StorageSettings = {
  readonly name: string
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  readonly prefix: string
  readonly pathStyle: boolean
  readonly credentials: Credentials
}

/** The store's clock against ours: its `Date` has whole seconds, so less than two is no difference. */
export type StoreClock = {
  /** What the store's clock shows now. */
  now(): Ms
  skew(): Ms
  heard(date: string, sentAt: Ms): void
  /** For how long nothing was heard of it. */
  silence(): Ms
}

export const createStoreClock = (clock: Clock): StoreClock => {
  let skew = 0
  let last = Number.NEGATIVE_INFINITY
  return {
    now: () => clock.now() + skew,
    skew: () => skew,
    silence: () => clock.monotonic() - last,
    heard: (date, sentAt) => {
      const theirs = Date.parse(date)
      if (Number.isNaN(theirs)) return
      // The answer was made between sending and now; half a second for the part of the second that Date leaves out.
      const offset = theirs + SECOND / 2 - (sentAt + clock.now()) / 2
      skew = Math.abs(offset) < 2 * SECOND ? 0 : Math.round(offset)
      last = clock.monotonic()
    },
  }
}

// The SDK's middleware sees requests and responses as unknown.
const partOf = (carrier: unknown, name: string): unknown =>
  typeof carrier === 'object' && carrier !== null ? Reflect.get(carrier, name) : undefined

/** Content-MD5 on DeleteObjects: an older store refuses it without (ARCHITECTURE.md, "What real S3 servers do"). */
const addContentMd5 = (client: S3Client): void => {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const headers = partOf(args.request, 'headers')
      const body = partOf(args.request, 'body')
      if (
        context.commandName === 'DeleteObjectsCommand' &&
        typeof headers === 'object' &&
        headers !== null &&
        (typeof body === 'string' || body instanceof Uint8Array)
      )
        Reflect.set(headers, 'content-md5', createHash('md5').update(body).digest('base64'))
      return next(args)
    },
    { step: 'build', name: 'contentMd5', priority: 'low' },
  )
}

const listenToClock = (client: S3Client, storeClock: StoreClock, clock: Clock): void => {
  client.middlewareStack.add(
    (next) => async (args) => {
      const sentAt = clock.now()
      const hear = (response: unknown): void => {
        const date = partOf(partOf(response, 'headers'), 'date')
        if (typeof date === 'string') storeClock.heard(date, sentAt)
      }
      try {
        const result = await next(args)
        hear(result.response)
        return result
      } catch (error) {
        hear(partOf(error, '$response'))
        throw error
      }
    },
    { step: 'deserialize', name: 'storeClock', priority: 'low' },
  )
}

/** A request of ours where nothing moves for so long is tried again, by the SDK and then by whoever asked. */
const IDLE: Ms = 20 * SECOND

export const createClient = (
  settings: StorageSettings,
  storeClock: StoreClock,
  clock: Clock,
  idle: Ms = IDLE,
): S3Client => {
  const client = new S3Client({
    endpoint: settings.endpoint,
    region: settings.region,
    forcePathStyle: settings.pathStyle,
    credentials: settings.credentials,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 4,
    // Its `requestTimeout` only writes a warning; this one ends requests, whichever part of them does not move.
    requestHandler: { connectionTimeout: 5 * SECOND, socketTimeout: idle },
  })
  addContentMd5(client)
  listenToClock(client, storeClock, clock)
  return client
}

/**
 * Runs `call`, and once more where the refusal has just shown that the store's clock is another one: the SDK signs by that
 * clock from then on, but takes a refused HEAD, which has no body to say why, for final.
 */
export const withClock = async <T>(storeClock: StoreClock, call: () => Promise<T>): Promise<T> => {
  const before = storeClock.skew()
  try {
    return await call()
  } catch (error) {
    if (statusOf(error) !== 403 || storeClock.skew() === before) throw error
    return call()
  }
}

export const statusOf = (error: unknown): number | null =>
  error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? null) : null

/**
 * `STORAGE_UNAVAILABLE` for whatever the store did not do, with the `status` of its answer if there was one; the signal's
 * own reason when the caller stopped.
 */
export const unavailable = (
  settings: Pick<StorageSettings, 'name'>,
  verb: string,
  [error, stop]: readonly [unknown, AbortSignal],
): unknown => {
  if (stop.aborted) return stop.reason
  const status = statusOf(error)
  const name = error instanceof Error ? error.name : 'unknown'
  const problem = status === null ? problemOf(error) : `${status} ${name}`
  const failure: Failure = fail(
    'STORAGE_UNAVAILABLE',
    { storage: settings.name, verb, problem, ...(status === null ? {} : { status }) },
    { cause: error },
  )
  return failure
}
