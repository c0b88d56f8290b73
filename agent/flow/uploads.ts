/**
 * Sealed objects on their way: grant → PUT → stored → confirmed (FORMAT.md, "Commit": granted → stored). A retry sends
 * the same bytes, under the same grant or a newly signed one; a bounded number is on the way, and whoever has more to
 * send waits at `room`.
 */
import type { Grant } from '#shared/protocol/orders.ts'
import type { ObjectClass } from '#shared/protocol/reports.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { fail } from '#shared/errors.ts'
import { MINUTE } from '#shared/units.ts'
import { delayOf, REUPLOAD } from '../core/backoff.ts'
import type { RunLink, Upload, World } from '../ports.ts'
import { createBatcher, type Batcher } from './batcher.ts'
import { createGate, type Gate } from './gate.ts'

/** A sealed object. */
export type Outgoing = {
  readonly class: ObjectClass
  readonly no: number
  readonly bytes: Uint8Array
  /** base64url */
  readonly sha256: string
  /** age header and payload nonce; empty for what is not an age file. */
  readonly header: Uint8Array
}

export type Uploads = {
  /** Resolves with the object's key once the control plane counts it as stored. */
  put(object: Outgoing): Promise<string>
  /** Resolves when another object may be made. */
  room(): Promise<void>
  /** Bytes stored so far. */
  readonly bytes: number
}

export type UploadParts = {
  readonly link: RunLink
  readonly upload: Upload
  readonly world: World
}

/** Objects in memory on their way; each may have some 16 MiB. */
const HELD = 4
/** PUTs at the same time. */
const PARALLEL = 3
const OBJECTS_A_REQUEST = 64
/** A single object is tried for so long. */
const LONGEST = 30 * MINUTE
/** What the store refuses outright is tried so often. */
const LASTING_TRIES = 4
/** A grant that would expire this soon is not begun. */
const GRANT_MARGIN = MINUTE

type Stored = {
  readonly class: ObjectClass
  readonly no: number
  readonly etag: string
  readonly header: string
}

const problemWhere = (grant: Grant, problem: string): Error =>
  fail('UPLOAD_FAILED', { key: grant.key, problem })

type Sending = {
  readonly parts: UploadParts
  readonly grants: Batcher<Outgoing, Grant>
  readonly puts: Gate
  readonly stop: AbortSignal
}

type Put = { readonly grant: Grant; readonly etag: string }

const waitFor = async ({ parts, stop }: Sending, attempt: number): Promise<void> => {
  const { clock, random } = parts.world
  const [chance = 0] = random(1)
  await clock.sleep(delayOf(REUPLOAD, attempt, chance / 256), stop)
}

/** PUTs until the store has it; 412 means that an earlier try arrived, which the control plane will look at. */
const putUntilStored = async (sending: Sending, object: Outgoing): Promise<Put> => {
  const { parts, grants, stop } = sending
  const { clock, log } = parts.world
  const begun = clock.monotonic()
  let grant = await grants.add(object)
  for (let attempt = 1; ; attempt += 1) {
    if (grant.expires_at - clock.now() < GRANT_MARGIN && attempt > 1)
      grant = await grants.add(object)
    const outcome = await parts.upload(grant, object.bytes, stop)
    if (outcome.done === 'stored') return { grant, etag: outcome.etag }
    if (outcome.done === 'exists') return { grant, etag: '' }
    stop.throwIfAborted()
    log.warn({ key: grant.key, attempt, problem: outcome.problem }, 'an upload failed')
    const hopeless = outcome.lasting && attempt >= LASTING_TRIES
    if (hopeless || clock.monotonic() - begun > LONGEST) throw problemWhere(grant, outcome.problem)
    await waitFor(sending, attempt)
    if (outcome.regrant) grant = await grants.add(object)
  }
}

/** Grants come in the order of the request; a number that does not fit shows an answer to something else. */
const matchGrants = (objects: readonly Outgoing[], grants: readonly Grant[]): readonly Grant[] =>
  objects.map((object, index) => {
    const grant = grants[index]
    if (grant?.no !== object.no)
      throw fail('PROTOCOL_VIOLATION', {
        problem: 'a grant is not for the object that was asked for',
      })
    return grant
  })

export const createUploads = (parts: UploadParts, stop: AbortSignal): Uploads => {
  const { link } = parts
  const held = createGate(HELD)
  const puts = createGate(PARALLEL)
  let bytes = 0
  stop.addEventListener('abort', () => {
    held.break(stop.reason)
    puts.break(stop.reason)
  })
  const grants = createBatcher<Outgoing, Grant>(OBJECTS_A_REQUEST, async (objects) => {
    const wanted = objects.map((object) => ({
      class: object.class,
      no: object.no,
      size: object.bytes.length,
      sha256: object.sha256,
    }))
    const answer = await link.request('grants.request', { objects: wanted }, stop)
    return matchGrants(objects, answer.grants)
  })
  const confirmations = createBatcher<Stored, 'confirmed'>(OBJECTS_A_REQUEST, async (objects) => {
    await link.request('objects.stored', { objects: [...objects] }, stop)
    return objects.map(() => 'confirmed')
  })
  const send = async (object: Outgoing): Promise<string> => {
    await puts.enter()
    let put: Put
    try {
      put = await putUntilStored({ parts, grants, puts, stop }, object)
    } finally {
      puts.leave()
    }
    bytes += object.bytes.length
    const { no } = object
    const header = toBase64url(object.header)
    await confirmations.add({ class: object.class, no, etag: put.etag, header })
    return put.grant.key
  }
  return {
    put: async (object) => {
      await held.enter()
      try {
        return await send(object)
      } finally {
        held.leave()
      }
    },
    room: async () => await held.room(),
    get bytes() {
      return bytes
    },
  }
}
