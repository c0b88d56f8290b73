/** The keyed name of a blob. FORMAT.md, "Blob ids". */
import { createHmac, hash } from 'node:crypto'
import { KiB } from '../units.ts'

/** Files of up to this many bytes are one blob; larger ones are cut. The empty file has no blob. */
export const WHOLE_LIMIT = 512 * KiB

const BLOCK = 64
/** Below this, copying the content behind the padded key costs less than making an HMAC object. */
const COPY_LIMIT = 16 * KiB

/** Names blobs under one 32-byte id key: HMAC-SHA-256(id key, content), 32 bytes. Not to be shared between threads. */
export const createBlobIds = (idKey: Uint8Array): ((content: Uint8Array) => Uint8Array) => {
  const inner = Buffer.alloc(BLOCK + COPY_LIMIT)
  const outer = Buffer.alloc(BLOCK + 32)
  for (let i = 0; i < BLOCK; i += 1) {
    inner[i] = (idKey[i] ?? 0) ^ 0x36
    outer[i] = (idKey[i] ?? 0) ^ 0x5c
  }
  return (content) => {
    if (content.length > COPY_LIMIT) return createHmac('sha256', idKey).update(content).digest()
    inner.set(content, BLOCK)
    outer.set(hash('sha256', inner.subarray(0, BLOCK + content.length), 'buffer'), BLOCK)
    return hash('sha256', outer, 'buffer')
  }
}

/** HMAC-SHA-256(id key, content). For many blobs keep what `createBlobIds` gives. */
export const blobId = (idKey: Uint8Array, content: Uint8Array): Uint8Array =>
  createHmac('sha256', idKey).update(content).digest()
