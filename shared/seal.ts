import { createHash, createHmac, hkdfSync } from 'node:crypto'
import nacl from 'tweetnacl'
import { type Failure, fail } from './errors.ts'

/**
 * Sealing small things: to somebody's X25519 key (file keys for an agent or an opener), and under the master key for
 * the database. Never bulk data: that is age's (shared/format/age.ts). The only importer of tweetnacl.
 *
 *   sealed to a key   1 || ephemeral public key (32) || crypto_box, nonce = first 24 bytes of
 *                     SHA-256("holdfast/seal/v1" 0 ephemeral || recipient || purpose)
 *   sealed at rest    1 || nonce (24) || crypto_secretbox under
 *                     HKDF-SHA-256(master key, no salt, "holdfast/at-rest/v1" 0 purpose)
 *   compared at rest  HMAC-SHA-256 under HKDF-SHA-256(master key, no salt, "holdfast/mac/v1" 0 purpose)
 *
 * The purpose is bound by both: what was sealed for one place does not open in another.
 */
const VERSION = 1
const KEY = 32
const NONCE = 24
const TAG = 16

const utf8 = new TextEncoder()

const damaged = (what: string, problem: string): Failure => fail('DAMAGED', { what, problem })

const checkLength = (bytes: Uint8Array, length: number, what: string): void => {
  if (bytes.length !== length)
    throw new RangeError(`${what} has ${bytes.length} bytes, not ${length}`)
}

const concat = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

const boxNonce = (ephemeral: Uint8Array, recipient: Uint8Array, purpose: string): Uint8Array => {
  const hash = createHash('sha256').update('holdfast/seal/v1\0')
  hash.update(ephemeral).update(recipient).update(purpose, 'utf8')
  return new Uint8Array(hash.digest().subarray(0, NONCE))
}

/** A key of small order would make a box that everybody opens. */
const checkPublicKey = (publicKey: Uint8Array, secretKey: Uint8Array): void => {
  checkLength(publicKey, KEY, 'the public key')
  if (nacl.scalarMult(secretKey, publicKey).every((byte) => byte === 0))
    throw damaged('the public key', 'it is of small order')
}

export type SealTo = {
  /** 32 fresh random bytes; used once, for this message only. */
  readonly ephemeral: Uint8Array
  /** What it is for, for example `open-request/<id>/pack/<no>`; default the empty text. */
  readonly purpose?: string
}

/**
 * Seals several messages to the holder of `publicKey` (X25519, 32 bytes), from nobody, each 49 bytes longer than its
 * plaintext. One ephemeral key serves them all, which spares three of four multiplications (0.5 ms each): the nonces differ
 * because the purposes do, and a purpose that comes twice is a RangeError.
 */
export const sealerTo = (
  publicKey: Uint8Array,
  ephemeralSecret: Uint8Array,
): ((plaintext: Uint8Array, purpose: string) => Uint8Array) => {
  checkLength(ephemeralSecret, KEY, 'the ephemeral key')
  checkPublicKey(publicKey, ephemeralSecret)
  const ephemeral = nacl.box.keyPair.fromSecretKey(ephemeralSecret)
  const shared = nacl.box.before(publicKey, ephemeral.secretKey)
  const used = new Set<string>()
  return (plaintext, purpose) => {
    if (used.has(purpose)) throw new RangeError('a purpose is sealed for once')
    used.add(purpose)
    const nonce = boxNonce(ephemeral.publicKey, publicKey, purpose)
    const boxed = nacl.box.after(plaintext, nonce, shared)
    return concat(Uint8Array.of(VERSION), ephemeral.publicKey, boxed)
  }
}

/** Seals one message. */
export const sealTo = (publicKey: Uint8Array, plaintext: Uint8Array, how: SealTo): Uint8Array =>
  sealerTo(publicKey, how.ephemeral)(plaintext, how.purpose ?? '')

/** Opens what `sealTo` made for this key and purpose; `DAMAGED` for anything else, without saying which part is wrong. */
export const openSealed = (secretKey: Uint8Array, sealed: Uint8Array, purpose = ''): Uint8Array => {
  checkLength(secretKey, KEY, 'the secret key')
  const what = 'the sealed message'
  if (sealed.length < 1 + KEY + TAG) throw damaged(what, 'it is too short')
  if (sealed[0] !== VERSION) throw damaged(what, 'its version is unknown')
  const ephemeral = sealed.subarray(1, 1 + KEY)
  const own = nacl.box.keyPair.fromSecretKey(secretKey)
  const nonce = boxNonce(ephemeral, own.publicKey, purpose)
  const opened = nacl.box.open(sealed.subarray(1 + KEY), nonce, ephemeral, secretKey)
  if (opened === null) throw damaged(what, 'it does not open with this key')
  return opened
}

type Use = 'at-rest' | 'mac'

const restKey = (masterKey: Uint8Array, purpose: string, use: Use = 'at-rest'): Uint8Array => {
  checkLength(masterKey, KEY, 'the master key')
  const info = concat(utf8.encode(`holdfast/${use}/v1\0`), utf8.encode(purpose))
  return new Uint8Array(hkdfSync('sha256', masterKey, new Uint8Array(0), info, KEY))
}

/**
 * Seals for the database: 41 bytes longer than `plaintext`. `purpose` names the place, for example
 * `storages/<id>/credentials`: a ciphertext moved to another row does not open. `nonce` is 24 fresh random bytes.
 */
export const sealAtRest = (
  masterKey: Uint8Array,
  purpose: string,
  plaintext: Uint8Array,
  nonce: Uint8Array,
): Uint8Array => {
  checkLength(nonce, NONCE, 'the nonce')
  const boxed = nacl.secretbox(plaintext, nonce, restKey(masterKey, purpose))
  return concat(Uint8Array.of(VERSION), nonce, boxed)
}

/** Opens what `sealAtRest` made under this master key for this purpose; `DAMAGED` for anything else. */
export const openAtRest = (
  masterKey: Uint8Array,
  purpose: string,
  sealed: Uint8Array,
): Uint8Array => {
  const what = `the secret ${purpose}`
  if (sealed.length < 1 + NONCE + TAG) throw damaged(what, 'it is too short')
  if (sealed[0] !== VERSION) throw damaged(what, 'its version is unknown')
  const nonce = sealed.subarray(1, 1 + NONCE)
  const opened = nacl.secretbox.open(sealed.subarray(1 + NONCE), nonce, restKey(masterKey, purpose))
  if (opened === null) throw damaged(what, 'it does not open with this master key')
  return opened
}

/**
 * HMAC-SHA-256 under a key of its own for `purpose`: tells whether two texts are the same, and to nobody without the
 * master key what they may be.
 */
export const macAtRest = (masterKey: Uint8Array, purpose: string, bytes: Uint8Array): Uint8Array =>
  new Uint8Array(
    createHmac('sha256', restKey(masterKey, purpose, 'mac'))
      .update(bytes)
      .digest(),
  )
