/**
 * Sealed objects on their way: grant → PUT → stored → confirmed (FORMAT.md, "Commit": granted → stored). A retry sends
 * the same bytes, under the same grant or a newly signed one; a bounded number is on the way, and whoever has more to
 * send waits at `room`. However long it takes, the memory stays that of the objects on the way.
 */
import type { Grant } from '#shared/protocol/orders.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { fail, hasCode } from '#shared/errors.ts'
import { chanceFrom, delayOf, REUPLOAD } from '../core/backoff.ts'
import type { Brake } from '../core/brake.ts'
import { type Patience, REUPLOADS } from '../core/patience.ts'
import type { Body, Outgoing, RunLink, Upload, World } from '../ports.ts'
import { createBatcher, type Batcher } from './batcher.ts'
import { createGate, type Gate } from './gate.ts'
import { createPace } from './pace.ts'
import { type Put, putUntilStored, type PutParts } from './put-object.ts'

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
  readonly patience: Patience
  /** While it is on nothing is sent, nor made. */
  readonly brake: Brake
}

/** Objects in memory on their way; each may have some 16 MiB. */
const HELD = 3
/** PUTs at the same time. */
const PARALLEL = 3
const OBJECTS_A_REQUEST = 64

/** An object that was put, and what the store said. */
type Stored = { readonly key: string; readonly said: Body<'objects.stored'>['objects'][number] }

/** `problem`: the control plane did not find it as said. */
type Confirmed = { readonly problem: string | null }

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

const createGrants = (link: RunLink, stop: AbortSignal): Batcher<Outgoing, Grant> =>
  createBatcher<Outgoing, Grant>(OBJECTS_A_REQUEST, async (objects) => {
    const wanted = objects.map((object) => ({
      class: object.class,
      no: object.no,
      size: object.bytes.length,
      sha256: object.sha256,
    }))
    const answer = await link.request('grants.request', { objects: wanted }, stop)
    return matchGrants(objects, answer.grants)
  })

/** Which of these the control plane does not find: it names one at a time, and confirms none beside it. */
const missingAmong = async (
  link: RunLink,
  objects: readonly Stored[],
  stop: AbortSignal,
): Promise<ReadonlyMap<string, string>> => {
  const missing = new Map<string, string>()
  for (;;) {
    const rest = objects.filter(({ key }) => !missing.has(key))
    if (rest.length === 0) return missing
    try {
      await link.request('objects.stored', { objects: rest.map(({ said }) => said) }, stop)
      return missing
    } catch (error) {
      if (!hasCode(error, 'UPLOAD_FAILED')) throw error
      const { key, problem } = error.details
      const named = rest.find((object) => object.key === key)
      if (named === undefined) throw error
      missing.set(named.key, String(problem))
    }
  }
}

const createConfirmations = (link: RunLink, stop: AbortSignal): Batcher<Stored, Confirmed> =>
  createBatcher<Stored, Confirmed>(OBJECTS_A_REQUEST, async (objects) => {
    const missing = await missingAmong(link, objects, stop)
    return objects.map(({ key }) => ({ problem: missing.get(key) ?? null }))
  })

const inTurn = async <T>(gate: Gate, work: () => Promise<T>): Promise<T> => {
  await gate.enter()
  try {
    return await work()
  } finally {
    gate.leave()
  }
}

export const createUploads = (parts: UploadParts, stop: AbortSignal): Uploads => {
  const { link, world, brake } = parts
  const held = createGate(HELD)
  const puts = createGate(PARALLEL)
  let bytes = 0
  stop.addEventListener('abort', () => {
    held.break(stop.reason)
    puts.break(stop.reason)
  })
  const confirmations = createConfirmations(link, stop)
  const putting: PutParts = {
    ...parts,
    grants: createGrants(link, stop),
    pace: createPace(puts, PARALLEL),
    say: (message) => link.tell('log', { level: 'warn', message: message.slice(0, 2000) }),
    stop,
  }
  const send = async (object: Outgoing): Promise<string> => {
    const { class: kind, no } = object
    const header = toBase64url(object.header)
    for (let time = 1; ; time += 1) {
      const put: Put = await inTurn(puts, async () => await putUntilStored(putting, object))
      const { key } = put.grant
      const said = { class: kind, no, etag: put.etag, header }
      const { problem } = await confirmations.add({ key, said })
      if (problem === null) {
        bytes += object.bytes.length
        return key
      }
      world.log.warn({ key, time, problem }, 'an object is not in the store as it was put')
      putting.say(`${key} is not in the store as it was put: ${problem}. Putting it again.`)
      if (time > REUPLOADS) throw fail('UPLOAD_FAILED', { key, problem })
      await world.clock.sleep(delayOf(REUPLOAD, time, chanceFrom(world.random)), stop)
    }
  }
  return {
    put: async (object) => await inTurn(held, async () => await send(object)),
    room: async () => {
      await brake.off(stop)
      await held.room()
    },
    get bytes() {
      return bytes
    },
  }
}
