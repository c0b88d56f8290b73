/** Where a run of bytes lies: in a frame, in a pack, under a name that proves it. FORMAT.md, "Locators". */
import { fail } from '../errors.ts'
import { KiB, MiB } from '../units.ts'

/** Epoch times 2^32 plus counter: a safe integer, at least 1. */
export type PackNo = number

/** Most bytes that one frame holds decoded. */
export const MAX_CONTENT = 4 * MiB
/** Most bytes that it takes encoded: zstd's bound for 4 MiB, rounded up. */
export const MAX_FRAME = MAX_CONTENT + 64 * KiB

/** Offset and length are within the decoded frame; id is base64url of a blob id, or of the SHA-256 of a segment. */
export type Locator = readonly [
  pack: PackNo,
  frameOffset: number,
  frameLength: number,
  offset: number,
  length: number,
  id: string,
]

/** A locator that resolves without the pack table. `sha256` is of the object, `headerHash` of its age header and nonce. */
export type FullLocator = readonly [
  ...Locator,
  key: string,
  objectSize: number,
  sha256: string,
  headerHash: string,
]

/** 32 bytes in base64url without padding: 43 characters, the last of which carries four bits. */
const HASH = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/
const KEY = /^[!#-[\]-~]{1,1024}$/

export const locatorText = (l: Locator): string =>
  `[${l[0]},${l[1]},${l[2]},${l[3]},${l[4]},"${l[5]}"]`

export const fullLocatorText = (l: FullLocator): string =>
  `[${l[0]},${l[1]},${l[2]},${l[3]},${l[4]},"${l[5]}","${l[6]}",${l[7]},"${l[8]}","${l[9]}"]`

/** Refuses (`DAMAGED`) whatever is not a locator of a run that can exist. */
export const parseLocator = (value: unknown): Locator => {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  if (list.length !== 6) throw damaged('it has not six parts')
  return parts(list)
}

export const parseFullLocator = (value: unknown): FullLocator => {
  const list: readonly unknown[] = Array.isArray(value) ? value : []
  if (list.length !== 10) throw damaged('it has not ten parts')
  const [, , , , , , key, size, sha256, headerHash] = list
  if (!isKey(key) || !isSize(size) || !isHash(sha256) || !isHash(headerHash)) {
    throw damaged('its object is not described')
  }
  return [...parts(list), key, size, sha256, headerHash]
}

const parts = (list: readonly unknown[]): Locator => {
  const [pack, frameOffset, frameLength, offset, length, id] = list
  if (!isPackNo(pack) || !isSize(frameOffset) || !isSize(frameLength))
    throw damaged('no such frame')
  if (!isSize(offset) || !isSize(length) || !isHash(id)) throw damaged('no such run')
  if (frameLength === 0 || frameLength > MAX_FRAME) throw damaged('its frame is too long')
  if (length === 0 || offset + length > MAX_CONTENT) throw damaged('its run leaves the frame')
  return [pack, frameOffset, frameLength, offset, length, id]
}

/** A safe integer of at least 0. */
export const isSize = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

export const isPackNo = (value: unknown): value is PackNo => isSize(value) && value > 0

export const isHash = (value: unknown): value is string =>
  typeof value === 'string' && HASH.test(value)

export const isKey = (value: unknown): value is string =>
  typeof value === 'string' && KEY.test(value)

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'A locator', problem })
