import { encodePreamble, FILE_KEY, NONCE, payloadKey, sealedSize } from '#shared/format/age.ts'
import { sealInto } from '#shared/format/age-payload.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { sha256, type Recipient } from '#shared/format/keys.ts'
import type { Random } from '#shared/world.ts'

export type SealedObject = {
  readonly bytes: Uint8Array
  /** age header and payload nonce. */
  readonly header: Uint8Array
  /** base64url SHA-256 of the object, and of `header`. */
  readonly sha256: string
  readonly headerHash: string
}

/**
 * The whole object of a plaintext under keys that are used once, in memory of its own. FORMAT.md: a file key and nonce
 * encrypt one object once; whoever sends it again sends these bytes.
 */
export const sealObject = (
  plaintext: Uint8Array,
  recipients: readonly Recipient[],
  random: Random,
): SealedObject => {
  const fileKey = random(FILE_KEY)
  const nonce = random(NONCE)
  const ephemerals = recipients.map(() => random(32))
  const header = encodePreamble({ fileKey, nonce, recipients, ephemerals })
  const bytes = Buffer.allocUnsafeSlow(sealedSize(plaintext.length, header.length))
  bytes.set(header)
  sealInto(payloadKey(fileKey, nonce), plaintext, bytes, header.length)
  return {
    bytes,
    header,
    sha256: toBase64url(sha256(bytes)),
    headerHash: toBase64url(sha256(header)),
  }
}
