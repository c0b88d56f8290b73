import { encodePreamble, FILE_KEY, NONCE, payloadKey, sealedSize } from '#shared/format/age.ts'
import { createSealerInto, SEALED_SEGMENT } from '#shared/format/age-payload.ts'
import { release, toBase64url, view } from '#shared/format/bytes.ts'
import { sha256, sha256Stream, type Recipient } from '#shared/format/keys.ts'
import type { Random } from '#shared/world.ts'

export type SealedObject = {
  readonly bytes: Uint8Array
  /** age header and payload nonce. */
  readonly header: Uint8Array
  /** base64url SHA-256 of the object, and of `header`. */
  readonly sha256: string
  readonly headerHash: string
}

/** An object that is written front to back. */
export type OpenObject = {
  readonly write: (plain: Uint8Array) => void
  readonly finish: () => SealedObject
}

/**
 * Begins an object under keys that are used once, in `memory`, or in more of it where that is too small. FORMAT.md: a
 * file key and nonce encrypt one object once; whoever sends it again sends these bytes.
 */
export const beginObject = (
  recipients: readonly Recipient[],
  random: Random,
  memory: Uint8Array,
): OpenObject => {
  const fileKey = random(FILE_KEY)
  const nonce = random(NONCE)
  const ephemerals = recipients.map(() => random(32))
  const header = encodePreamble({ fileKey, nonce, recipients, ephemerals })
  const sealer = createSealerInto(payloadKey(fileKey, nonce))
  const hash = sha256Stream()
  let out = view(memory)
  let end = 0
  const moveTo = (next: number): void => {
    // While it is still in the cache of the processor.
    hash.update(out.subarray(end, next))
    end = next
  }
  const makeRoom = (more: number): void => {
    if (end + more <= out.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(end + more, Math.ceil(1.25 * out.length)))
    larger.set(out.subarray(0, end))
    release(out)
    out = larger
  }
  makeRoom(header.length)
  out.set(header)
  moveTo(header.length)
  return {
    write: (plain) => {
      makeRoom(sealer.ready(plain.length))
      moveTo(sealer.push(plain, out, end))
    },
    finish: () => {
      makeRoom(SEALED_SEGMENT)
      moveTo(sealer.end(out, end))
      return {
        bytes: out.subarray(0, end),
        header,
        sha256: toBase64url(hash.digest()),
        headerHash: toBase64url(sha256(header)),
      }
    },
  }
}

/** Longest preamble of a few recipients, generously. */
const PREAMBLE = 4096

/** The whole object of a plaintext, in memory of its own. */
export const sealObject = (
  plaintext: Uint8Array,
  recipients: readonly Recipient[],
  random: Random,
): SealedObject => {
  const memory = Buffer.allocUnsafeSlow(sealedSize(plaintext.length, PREAMBLE) + SEALED_SEGMENT)
  const object = beginObject(recipients, random, memory)
  object.write(plaintext)
  return object.finish()
}
