/** The keyed name of a blob. FORMAT.md, "Blob ids". */
import { createHmac, createSecretKey } from 'node:crypto'
import { KiB } from '../units.ts'
import { createSmallHmac } from './hmac.ts'

/** Files of up to this many bytes are one blob; larger ones are cut. The empty file has no blob. */
export const WHOLE_LIMIT = 512 * KiB

/** Below this, copying the content behind the padded key costs less than making an HMAC object. */
const COPY_LIMIT = 16 * KiB

/** Names blobs under one 32-byte id key: HMAC-SHA-256(id key, content), 32 bytes. Not to be shared between threads. */
export const createBlobIds = (idKey: Uint8Array): ((content: Uint8Array) => Uint8Array) => {
  const small = createSmallHmac(idKey, COPY_LIMIT)
  // A key object: with the bare bytes each HMAC costs 10 us more.
  const key = createSecretKey(idKey)
  return (content) =>
    content.length <= COPY_LIMIT
      ? small(content)
      : createHmac('sha256', key).update(content).digest()
}

/** HMAC-SHA-256(id key, content). For many blobs keep what `createBlobIds` gives. */
export const blobId = (idKey: Uint8Array, content: Uint8Array): Uint8Array =>
  createHmac('sha256', idKey).update(content).digest()
