/**
 * Which ids a vault holds: the records lie in a file, this table finds their numbers. Memory: 8 bytes a slot at 38 to
 * 75 % load, so 11 to 21 bytes an id (5 million: about 85 MiB); growing copies one of 256 shards at a time.
 */
import { crc32 } from 'node:zlib'
import { parseBase64url, toBase64url } from '#shared/format/bytes.ts'
import type { Locator, PackNo } from '#shared/format/locator.ts'

export const ID_BYTES = 32
const CHECKED = ID_BYTES + 8 + 16
/** id, pack (float64), frame offset, frame length, offset, length, CRC-32 of what stands before (uint32), little-endian. */
export const RECORD_BYTES = CHECKED + 4

const SHARDS = 256
const FIRST_SLOTS = 64
const MOST_LOAD = 0.75
/** Fibonacci hashing: the tag is uniform already, but the shard's slots use its top bits after mixing. */
const MIX = 0x9e3779b1

type Shard = { tags: Uint32Array; records: Uint32Array; used: number }

export type Table = {
  readonly size: number
  /** `record` below 2^32 - 1. Equal ids may be added; the first is found first. */
  add(ids: Uint8Array, at: number, record: number): void
  /** The first record of this id for which `isIt` says yes, or -1. Asks only about ids with the same 40 bits. */
  find(ids: Uint8Array, at: number, isIt: (record: number) => boolean): number
  clear(): void
}

const newShard = (slots: number): Shard => ({
  tags: new Uint32Array(slots),
  records: new Uint32Array(slots),
  used: 0,
})

const tagOf = (ids: Uint8Array, at: number): number =>
  (((ids[at + 1] ?? 0) << 24) |
    ((ids[at + 2] ?? 0) << 16) |
    ((ids[at + 3] ?? 0) << 8) |
    (ids[at + 4] ?? 0)) >>>
  0

const slotOf = (tag: number, slots: number): number =>
  Math.imul(tag, MIX) >>> (Math.clz32(slots) + 1)

const insert = (shard: Shard, tag: number, stored: number): void => {
  const { tags, records } = shard
  const last = records.length - 1
  let slot = slotOf(tag, records.length)
  while (records[slot] !== 0) slot = (slot + 1) & last
  tags[slot] = tag
  records[slot] = stored
  shard.used += 1
}

const grow = (shard: Shard): Shard => {
  const larger = newShard(2 * shard.records.length)
  for (const [slot, stored] of shard.records.entries()) {
    if (stored !== 0) insert(larger, shard.tags[slot] ?? 0, stored)
  }
  return larger
}

export const createTable = (): Table => {
  let shards = Array.from({ length: SHARDS }, () => newShard(FIRST_SLOTS))
  let size = 0
  const shardOf = (index: number): Shard => {
    const shard = shards[index] ?? newShard(FIRST_SLOTS)
    if (shard.used < MOST_LOAD * shard.records.length) return shard
    const larger = grow(shard)
    shards[index] = larger
    return larger
  }
  return {
    get size() {
      return size
    },
    add: (ids, at, record) => {
      // 0 marks a free slot, so numbers are stored one higher.
      insert(shardOf(ids[at] ?? 0), tagOf(ids, at), record + 1)
      size += 1
    },
    find: (ids, at, isIt) => {
      const shard = shards[ids[at] ?? 0]
      if (shard === undefined) return -1
      const { tags, records } = shard
      const tag = tagOf(ids, at)
      const last = records.length - 1
      let slot = slotOf(tag, records.length)
      for (let stored = records[slot] ?? 0; stored !== 0; stored = records[slot] ?? 0) {
        if (tags[slot] === tag && isIt(stored - 1)) return stored - 1
        slot = (slot + 1) & last
      }
      return -1
    },
    clear: () => {
      shards = Array.from({ length: SHARDS }, () => newShard(FIRST_SLOTS))
      size = 0
    },
  }
}

export type Place = {
  readonly pack: PackNo
  readonly frameOffset: number
  readonly frameLength: number
  readonly offset: number
  readonly length: number
}

const view = (record: Uint8Array): DataView =>
  new DataView(record.buffer, record.byteOffset, record.byteLength)

export const encodeRecord = (id: Uint8Array, place: Place): Uint8Array => {
  const record = new Uint8Array(RECORD_BYTES)
  record.set(id)
  const numbers = view(record)
  numbers.setFloat64(32, place.pack, true)
  numbers.setUint32(40, place.frameOffset, true)
  numbers.setUint32(44, place.frameLength, true)
  numbers.setUint32(48, place.offset, true)
  numbers.setUint32(52, place.length, true)
  numbers.setUint32(CHECKED, crc32(record.subarray(0, CHECKED)), true)
  return record
}

/** A locator out of a damaged record would be signed into a backup that cannot be restored. */
export const recordIsIntact = (record: Uint8Array): boolean =>
  view(record).getUint32(CHECKED, true) === crc32(record.subarray(0, CHECKED))

/** Of the record that begins at `at`. */
export const recordPack = (records: Uint8Array, at = 0): PackNo =>
  view(records).getFloat64(at + 32, true)

export const recordHasId = (record: Uint8Array, ids: Uint8Array, at: number): boolean => {
  for (let i = 0; i < ID_BYTES; i += 1) if (record[i] !== ids[at + i]) return false
  return true
}

export const recordLocator = (record: Uint8Array): Locator => {
  const numbers = view(record)
  return [
    numbers.getFloat64(32, true),
    numbers.getUint32(40, true),
    numbers.getUint32(44, true),
    numbers.getUint32(48, true),
    numbers.getUint32(52, true),
    toBase64url(record.subarray(0, ID_BYTES)),
  ]
}

/** The 32 bytes of a locator's id; throws for what no locator of ours can hold. */
export const idBytes = (id: string): Uint8Array => {
  const bytes = parseBase64url(id, ID_BYTES)
  if (bytes === null) throw new RangeError('an id has 32 bytes')
  return bytes
}
