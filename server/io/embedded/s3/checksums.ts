import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** The additional checksums of S3, by the name used in `x-amz-checksum-<name>`. */
export const CHECKSUMS = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'] as const
export type ChecksumName = (typeof CHECKSUMS)[number]

/** COMPOSITE: of the parts' checksums, followed by `-<number of parts>`. FULL_OBJECT: of the bytes. */
export type ChecksumType = 'COMPOSITE' | 'FULL_OBJECT'

/** Base64, as on the wire. */
export type Checksum = {
  readonly name: ChecksumName
  readonly value: string
  readonly type: ChecksumType
}

export type Running = { update(bytes: Uint8Array): void; digest(): Buffer }

export const isChecksumName = (text: string): text is ChecksumName =>
  CHECKSUMS.some((name) => name === text)

/** Bytes of the raw value; a given checksum of another length is malformed. */
export const CHECKSUM_BYTES: Readonly<Record<ChecksumName, number>> = {
  crc32: 4,
  crc32c: 4,
  crc64nvme: 8,
  sha1: 20,
  sha256: 32,
}

export const isChecksumValue = (name: ChecksumName, value: string): boolean => {
  const raw = Buffer.from(value, 'base64')
  return raw.length === CHECKSUM_BYTES[name] && raw.toString('base64') === value
}

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

const runningCrc32 = (): Running => {
  let crc = 0
  return {
    update: (bytes) => {
      crc = crc32(bytes, crc)
    },
    digest: () => word(crc),
  }
}

// Slicing by eight: 8 tables of 256 entries, one look-up a byte but only one dependency every 8 bytes.
const CRC32C_POLYNOMIAL = 0x82f63b78

const crc32cTables = (): Uint32Array => {
  const tables = new Uint32Array(8 * 256)
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ CRC32C_POLYNOMIAL : crc >>> 1
    tables[byte] = crc
  }
  for (let at = 256; at < tables.length; at += 1) {
    const before = at32(tables, at - 256)
    tables[at] = (before >>> 8) ^ at32(tables, before & 255)
  }
  return tables
}

const at32 = (table: Uint32Array, index: number): number => table[index] ?? 0

let castagnoli: Uint32Array | undefined

const runningCrc32c = (): Running => {
  castagnoli ??= crc32cTables()
  const t = castagnoli
  let crc = 0xffffffff
  return {
    update: (bytes) => {
      const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      let at = 0
      for (const end = b.length - 7; at < end; at += 8) {
        const low = crc ^ b.readUInt32LE(at)
        const high = b.readUInt32LE(at + 4)
        crc =
          at32(t, 1792 + (low & 255)) ^
          at32(t, 1536 + ((low >>> 8) & 255)) ^
          at32(t, 1280 + ((low >>> 16) & 255)) ^
          at32(t, 1024 + (low >>> 24)) ^
          at32(t, 768 + (high & 255)) ^
          at32(t, 512 + ((high >>> 8) & 255)) ^
          at32(t, 256 + ((high >>> 16) & 255)) ^
          at32(t, high >>> 24)
      }
      for (; at < b.length; at += 1) crc = (crc >>> 8) ^ at32(t, (crc ^ (b[at] ?? 0)) & 255)
    },
    digest: () => word(~crc),
  }
}

// CRC-64/NVME, reflected polynomial 0x9a6c9329ac4bc9b5, in two 32-bit halves: a BigInt a byte would run at a tenth.
const NVME_HIGH = 0x9a6c9329
const NVME_LOW = 0xac4bc9b5

type Tables64 = { readonly high: Uint32Array; readonly low: Uint32Array }

const crc64Tables = (): Tables64 => {
  const high = new Uint32Array(8 * 256)
  const low = new Uint32Array(8 * 256)
  for (let byte = 0; byte < 256; byte += 1) {
    let h = 0
    let l = byte
    for (let bit = 0; bit < 8; bit += 1) {
      const odd = l & 1
      l = ((l >>> 1) | (h << 31)) >>> 0
      h >>>= 1
      if (odd === 1) {
        h = (h ^ NVME_HIGH) >>> 0
        l = (l ^ NVME_LOW) >>> 0
      }
    }
    high[byte] = h
    low[byte] = l
  }
  for (let at = 256; at < low.length; at += 1) {
    const h = at32(high, at - 256)
    const l = at32(low, at - 256)
    high[at] = (h >>> 8) ^ at32(high, l & 255)
    low[at] = ((l >>> 8) | (h << 24)) ^ at32(low, l & 255)
  }
  return { high, low }
}

let nvme: Tables64 | undefined

const runningCrc64 = (): Running => {
  nvme ??= crc64Tables()
  const { high, low } = nvme
  let h = 0xffffffff
  let l = 0xffffffff
  return {
    update: (bytes) => {
      const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      let at = 0
      for (const end = b.length - 7; at < end; at += 8) {
        const x = l ^ b.readUInt32LE(at)
        const y = h ^ b.readUInt32LE(at + 4)
        h = 0
        l = 0
        for (let k = 0; k < 4; k += 1) {
          const first = 1792 - 256 * k + ((x >>> (8 * k)) & 255)
          const second = 768 - 256 * k + ((y >>> (8 * k)) & 255)
          h ^= at32(high, first) ^ at32(high, second)
          l ^= at32(low, first) ^ at32(low, second)
        }
      }
      for (; at < b.length; at += 1) {
        const index = (l ^ (b[at] ?? 0)) & 255
        l = ((l >>> 8) | (h << 24)) ^ at32(low, index)
        h = (h >>> 8) ^ at32(high, index)
      }
    },
    digest: () => Buffer.concat([word(~h), word(~l)]),
  }
}

const runningHash = (name: string): Running => {
  const hash = createHash(name)
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest() }
}

export const running = (name: ChecksumName | 'md5'): Running => {
  switch (name) {
    case 'crc32':
      return runningCrc32()
    case 'crc32c':
      return runningCrc32c()
    case 'crc64nvme':
      return runningCrc64()
    case 'md5':
    case 'sha1':
    case 'sha256':
      return runningHash(name)
  }
}
