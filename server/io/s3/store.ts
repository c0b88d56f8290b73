/** A storage as an object store: shared/store.ts, and grants. Keys are below the storage's prefix. */
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { fail, hasCode } from '#shared/errors.ts'
import { belowPrefix, withPrefix } from '#shared/format/layout.ts'
import type { ByteRange, ObjectKey, StoredObject } from '#shared/store.ts'
import { type Ms, SECOND } from '#shared/units.ts'
import type { Clock } from '#shared/world.ts'
import type { VaultStore } from '../../ports.ts'
import {
  createClient,
  createStoreClock,
  statusOf,
  type StorageSettings,
  type StoreClock,
  unavailable,
  withClock,
} from './client.ts'
import { uploadsTo } from './multipart.ts'
import { createGetSigner, createSigner, type Place } from './sign.ts'

/** DeleteObjects takes at most so many names. */
const MOST_DELETED = 1000

type Parts = {
  readonly settings: StorageSettings
  readonly client: S3Client
  readonly storeClock: StoreClock
}

/** An ETag without the quotes that some stores put and some leave out. */
const bare = (etag: string | undefined): string => (etag ?? '').replace(/^"|"$/g, '')

const head = async (
  { settings, client, storeClock }: Parts,
  key: ObjectKey,
  stop: AbortSignal,
): Promise<StoredObject | null> => {
  const command = new HeadObjectCommand({
    Bucket: settings.bucket,
    Key: withPrefix(settings.prefix, key),
  })
  try {
    const found = await withClock(storeClock, async () =>
      client.send(command, { abortSignal: stop }),
    )
    return { size: found.ContentLength ?? 0, etag: bare(found.ETag) }
  } catch (error) {
    if (statusOf(error) === 404) return null
    throw unavailable(settings, 'head', [error, stop])
  }
}

const rangeHeader = ({ start, end }: ByteRange): string =>
  `bytes=${start}-${end === undefined ? '' : end - 1}`

/** So often is an object asked for whose bytes stop coming: the SDK tries again only until they begin to. */
const GETS = 3

const bytesOf = async (body: GetObjectCommandOutput['Body']): Promise<Uint8Array | Error> => {
  try {
    return (await body?.transformToByteArray()) ?? new Uint8Array()
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

const getWhole = async (
  { settings, client, storeClock }: Parts,
  [key, range]: readonly [ObjectKey, ByteRange],
  stop: AbortSignal,
): Promise<Uint8Array> => {
  for (let time = 1; ; time += 1) {
    const command = new GetObjectCommand({
      Bucket: settings.bucket,
      Key: withPrefix(settings.prefix, key),
      Range: rangeHeader(range),
    })
    const found = await withClock(storeClock, async () =>
      client.send(command, { abortSignal: stop }),
    )
    const bytes = await bytesOf(found.Body)
    if (!(bytes instanceof Error)) return bytes
    if (time === GETS || stop.aborted) throw bytes
  }
}

const get = async (
  parts: Parts,
  [key, range]: readonly [ObjectKey, ByteRange],
  stop: AbortSignal,
): Promise<Uint8Array | null> => {
  try {
    const bytes = await getWhole(parts, [key, range], stop)
    if (range.end !== undefined && bytes.length !== range.end - range.start)
      throw fail('DAMAGED', { what: `The object ${key}`, problem: 'it is shorter than asked for' })
    return bytes
  } catch (error) {
    if (statusOf(error) === 404) return null
    if (hasCode(error, 'DAMAGED')) throw error
    throw unavailable(parts.settings, 'get', [error, stop])
  }
}

const list = async function* (
  { settings, client, storeClock }: Parts,
  prefix: string,
  stop: AbortSignal,
): AsyncGenerator<ObjectKey> {
  let token: string | undefined
  do {
    const command = new ListObjectsV2Command({
      Bucket: settings.bucket,
      Prefix: settings.prefix === '' ? prefix : `${settings.prefix}/${prefix}`,
      ContinuationToken: token,
    })
    const page = await withClock(storeClock, async () =>
      client.send(command, { abortSignal: stop }),
    ).catch((error: unknown) => {
      throw unavailable(settings, 'list', [error, stop])
    })
    for (const { Key: key } of page.Contents ?? []) {
      const below = key === undefined ? null : belowPrefix(settings.prefix, key)
      if (below !== null) yield below
    }
    token = page.NextContinuationToken
  } while (token !== undefined)
}

type Put = { readonly key: ObjectKey; readonly body: Uint8Array }

const write = async (
  { settings, client, storeClock }: Parts,
  { key, body, condition }: Put & { readonly condition: boolean },
  stop: AbortSignal,
): Promise<{ readonly etag: string } | 'exists' | 'unconditional'> => {
  const plain = { Bucket: settings.bucket, Key: withPrefix(settings.prefix, key), Body: body }
  const command = new PutObjectCommand(condition ? { ...plain, IfNoneMatch: '*' } : plain)
  try {
    const done = await withClock(storeClock, async () =>
      client.send(command, { abortSignal: stop }),
    )
    return { etag: bare(done.ETag) }
  } catch (error) {
    const status = statusOf(error)
    if (condition && (status === 412 || status === 409)) return 'exists'
    if (condition && status === 501) return 'unconditional'
    throw unavailable(settings, 'put', [error, stop])
  }
}

/** Where the store does not know conditions, what is there is looked at first: enough for one writer. */
const put = async (
  parts: Parts,
  object: Put & { readonly ifAbsent: boolean },
  stop: AbortSignal,
): Promise<{ readonly etag: string } | 'exists'> => {
  const done = await write(parts, { ...object, condition: object.ifAbsent }, stop)
  if (done !== 'unconditional') return done
  if ((await head(parts, object.key, stop)) !== null) return 'exists'
  const plain = await write(parts, { ...object, condition: false }, stop)
  return plain === 'unconditional' ? 'exists' : plain
}

const remove = async (
  { settings, client, storeClock }: Parts,
  keys: readonly ObjectKey[],
  stop: AbortSignal,
): Promise<void> => {
  for (let from = 0; from < keys.length; from += MOST_DELETED) {
    const names = keys.slice(from, from + MOST_DELETED)
    const command = new DeleteObjectsCommand({
      Bucket: settings.bucket,
      Delete: {
        Quiet: true,
        Objects: names.map((key) => ({ Key: withPrefix(settings.prefix, key) })),
      },
    })
    const done = await withClock(storeClock, async () =>
      client.send(command, { abortSignal: stop }),
    ).catch((error: unknown) => {
      throw unavailable(settings, 'delete', [error, stop])
    })
    const [first] = done.Errors ?? []
    if (first !== undefined)
      throw fail('STORAGE_UNAVAILABLE', {
        storage: settings.name,
        verb: 'delete',
        problem: `${first.Key ?? 'an object'}: ${first.Code ?? 'refused'}`,
      })
  }
}

const placeOf = (settings: StorageSettings, createOnly: boolean): Place => {
  const { protocol, host } = new URL(settings.endpoint)
  const { bucket, region, pathStyle } = settings
  const name = pathStyle ? host : `${bucket}.${host}`
  return {
    origin: `${protocol}//${name}`,
    host: name,
    base: pathStyle ? `/${bucket}/` : '/',
    region,
    createOnly,
  }
}

/**
 * Whoever only signs hears nothing of the store, and what is signed by a wrong clock is refused to others (agents, browsers),
 * again and again: so its time is asked for, by whatever answer, when it was not heard for so long.
 */
const OLD: Ms = 30 * SECOND
const ASKING: Ms = 5 * SECOND
/** No object has this name. */
const NOTHING = 'clock'

const listenerTo = (parts: Parts, clock: Clock): (() => Promise<void>) => {
  let asking: Promise<void> = Promise.resolve()
  let asked = Number.NEGATIVE_INFINITY
  const ask = async (): Promise<void> => {
    try {
      await head(parts, NOTHING, AbortSignal.timeout(ASKING))
    } catch {
      // It cannot be reached, or refuses us: then nothing that is signed for it is of use, and others say so.
    }
  }
  return async () => {
    const now = clock.monotonic()
    if (parts.storeClock.silence() > OLD && now - asked > OLD) {
      asked = now
      asking = ask()
    }
    await asking
  }
}

export type S3Store = VaultStore & {
  /** Whether a PUT with `If-None-Match: *` onto an existing object is refused. */
  refusesOverwrite(key: ObjectKey, body: Uint8Array, stop: AbortSignal): Promise<boolean>
  /** How far the store's clock is ahead of ours, in ms, as of its last answer. */
  skew(): number
  /** Before something is signed: asks for the store's time, where that was last heard a while ago. Never throws. */
  hearClock(): Promise<void>
  /** Lets go of its connections. */
  close(): void
}

/**
 * `createOnly`: grants carry `If-None-Match: *`; only where a probe found that the store honours it. `idle`: how long a
 * request may stand still.
 */
export const openS3Store = (
  settings: StorageSettings,
  createOnly: boolean,
  clock: Clock,
  idle?: Ms,
): S3Store => {
  const storeClock = createStoreClock(clock)
  const parts = { settings, storeClock, client: createClient(settings, storeClock, clock, idle) }
  const place = placeOf(settings, createOnly)
  const sign = createSigner(place, settings.credentials)
  const signGet = createGetSigner(place, settings.credentials)
  return {
    head: async (key, stop) => head(parts, key, stop),
    get: async (key, range, stop) => get(parts, [key, range], stop),
    list: (prefix, stop) => list(parts, prefix, stop),
    put: async (key, body, { ifAbsent }, stop) => put(parts, { key, body, ifAbsent }, stop),
    remove: async (keys, stop) => remove(parts, keys, stop),
    sign: ({ key, size, sha256 }) =>
      sign({ key: withPrefix(settings.prefix, key), size, sha256 }, storeClock.now(), clock.now()),
    signGet: (get) =>
      signGet({ ...get, key: withPrefix(settings.prefix, get.key) }, storeClock.now()),
    ...uploadsTo(parts),
    refusesOverwrite: async (key, body, stop) =>
      (await write(parts, { key, body, condition: true }, stop)) === 'exists',
    skew: () => storeClock.skew(),
    hearClock: listenerTo(parts, clock),
    close: () => parts.client.destroy(),
  }
}
