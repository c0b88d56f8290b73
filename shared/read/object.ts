/** Objects of a vault: each header opened once, the payload read by ranges, one frame decoded at a time. */
import { fail, hasCode } from '../errors.ts'
import { NONCE, openSegments, parseHeader, segmentRange } from '../format/age.ts'
import { toBase64url } from '../format/bytes.ts'
import { decodeFrame } from '../format/frame.ts'
import { sha256 } from '../format/keys.ts'
import { parseKey } from '../format/layout.ts'
import { verifySegment } from '../format/lines.ts'
import type { FullLocator, Locator, PackNo } from '../format/locator.ts'
import { KiB } from '../units.ts'
import type { Access, ObjectFacts, OpenedObject } from './access.ts'
import { createRecent } from './recent.ts'

export type ObjectReader = {
  /** Opens the header, which must be the one that was signed for. */
  open(facts: ObjectFacts): Promise<OpenedObject>
  /** A run of a segment's bytes, its SHA-256 checked. */
  segment(facts: ObjectFacts, locator: Locator | FullLocator): Promise<Uint8Array>
  /** The next `open` looks anew: where it lies may have a time limit. */
  forget(key: string): void
}

/** Headers kept open: 16 GiB of packs of the usual size. */
const OPEN = 1024
/** Nearly every header fits into the first; a second look takes the longest that age allows us. */
const FIRST_LOOK = KiB
const LONGEST_HEADER = 65 * KiB

export const factsOf = (locator: FullLocator): ObjectFacts => ({
  pack: locator[0],
  key: locator[6],
  size: locator[7],
  headerHash: locator[9],
})

/** What may have gone wrong on the way, once, is read again; what is damaged stays so. */
export const twice = async <T>(attempt: () => Promise<T>): Promise<T> => {
  try {
    return await attempt()
  } catch (error) {
    if (!hasCode(error, 'DAMAGED')) throw error
    return attempt()
  }
}

type Parts = { readonly vault: string; readonly access: Access }

export const createObjectReader = (parts: Parts): ObjectReader => {
  const opened = createRecent<Promise<OpenedObject>>(OPEN)
  const open = async (facts: ObjectFacts): Promise<OpenedObject> => {
    const known = opened.get(facts.key)
    if (known !== undefined) return known
    const promise = twice(async () => openObject(parts, facts))
    opened.set(facts.key, promise)
    // Damage is remembered like a success; what the network did is not.
    promise.catch((error: unknown) => {
      if (!hasCode(error, 'DAMAGED') && !hasCode(error, 'MISSING_OBJECT')) opened.delete(facts.key)
    })
    return promise
  }
  return {
    open,
    segment: async (facts, locator) => {
      const object = await open(facts)
      return twice(async () => readSegmentBytes(parts.access, object, locator))
    },
    forget: (key) => opened.delete(key),
  }
}

const openObject = async ({ vault, access }: Parts, facts: ObjectFacts): Promise<OpenedObject> => {
  const { key, size } = facts
  checkKey(vault, facts)
  const located = await access.locate(facts)
  if (located === null) throw fail('MISSING_OBJECT', { key })
  const preamble = located.preamble ?? (await readPreamble(access, facts))
  if (toBase64url(sha256(preamble)) !== facts.headerHash) {
    throw damaged(key, 'its header is not the one that was signed for')
  }
  const { key: payloadKey, length } = await access.openPreamble(preamble, facts)
  return { at: located.at, key, payloadKey, preambleLength: length, size }
}

/** A signed key still must be one that the vault can have: it becomes a path. */
export const checkKey = (vault: string, { key, pack }: { key: string; pack: PackNo }): void => {
  const parsed = parseKey(key)
  const good = parsed !== null && (parsed.kind === 'pack' || parsed.kind === 'tree')
  if (!good || parsed.vault !== vault || parsed.no !== pack) {
    throw fail('DAMAGED', { what: `The reference to ${key}`, problem: 'no such object can be' })
  }
}

const readPreamble = async (access: Access, facts: ObjectFacts): Promise<Uint8Array> => {
  const { key, size } = facts
  for (const look of [FIRST_LOOK, LONGEST_HEADER]) {
    const bytes = await access.read(key, 0, Math.min(size, look))
    const length = preambleWithin(bytes)
    if (length !== null) return bytes.subarray(0, length)
  }
  throw damaged(key, 'its header is malformed')
}

/** Length of header and nonce, or null where they are malformed or longer than these bytes. */
const preambleWithin = (bytes: Uint8Array): number | null => {
  try {
    const length = parseHeader(bytes).headerLength + NONCE
    return length <= bytes.length ? length : null
  } catch (error) {
    if (hasCode(error, 'DAMAGED')) return null
    throw error
  }
}

const readSegmentBytes = async (
  access: Access,
  object: OpenedObject,
  locator: Locator | FullLocator,
): Promise<Uint8Array> => {
  const [, frameOffset, frameLength] = locator
  const wanted = { start: frameOffset, end: frameOffset + frameLength }
  const range = segmentRange(wanted, object.preambleLength, object.size)
  const sealed = await access.read(object.key, range.start, range.end)
  const plain = openSegments(object.payloadKey, sealed, range.firstSegment, range.isLast)
  return segmentIn(plain.subarray(range.skip, range.skip + frameLength), locator)
}

/** The run of a segment's bytes in its compressed frame, its SHA-256 checked. */
export const segmentIn = (frame: Uint8Array, locator: Locator | FullLocator): Uint8Array => {
  const [, , , offset, length] = locator
  const bytes = decodeFrame(frame).subarray(offset, offset + length)
  verifySegment(bytes, locator)
  return bytes
}

const damaged = (key: string, problem: string): Error =>
  fail('DAMAGED', { what: `The object ${key}`, problem })
