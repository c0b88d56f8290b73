/** Kinds of keys and what each may do: recipients seal, identities open, signing keys sign. FORMAT.md, "Keys". */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  sign as edSign,
  verify as edVerify,
  type Hash,
  type KeyObject,
} from 'node:crypto'
import { fail } from '../errors.ts'
import { decodeBech32, encodeBech32 } from './bech32.ts'
import { parseBase64url, toBase64url, toHex, utf8 } from './bytes.ts'

/** Whom an object is sealed to. `text` is canonical: `age1…`, 62 characters. */
export type Recipient = { readonly text: string; readonly publicKey: Uint8Array }

/** Who can open. `text` and `secretKey` are secrets. */
export type Identity = {
  readonly text: string
  readonly secretKey: Uint8Array
  readonly recipient: Recipient
}

/** An Ed25519 key that can sign; the seed stays inside. */
export type SigningKey = {
  readonly publicKey: Uint8Array
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** Recipients by class, as texts (FORMAT.md, "Keys"). */
export type RecipientSet = {
  readonly content: readonly string[]
  readonly recovery: readonly string[]
  readonly list: readonly string[]
}

const RECIPIENT = 'age'
const IDENTITY = 'AGE-SECRET-KEY-'

// RFC 8410: everything in the DER form of a private key but its 32 bytes is constant. Public keys go in and out as
// JWK, which takes a tenth of the time that OpenSSL takes over DER (measured: 1 against 19 us out).
const PKCS8 = {
  X25519: '302e020100300506032b656e04220420',
  Ed25519: '302e020100300506032b657004220420',
} as const

type Curve = keyof typeof PKCS8

const bytes32 = (bytes: Uint8Array): Uint8Array => {
  if (bytes.length !== 32) throw new RangeError('a key has 32 bytes')
  return bytes
}

const privateKey = (curve: Curve, secret: Uint8Array): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from(PKCS8[curve], 'hex'), bytes32(secret)]),
    format: 'der',
    type: 'pkcs8',
  })

const publicKeyObject = (curve: Curve, bytes: Uint8Array): KeyObject =>
  createPublicKey({
    key: { kty: 'OKP', crv: curve, x: toBase64url(bytes32(bytes)) },
    format: 'jwk',
  })

const publicBytes = (key: KeyObject): Uint8Array => {
  const { x } = createPublicKey(key).export({ format: 'jwk' })
  return bytes32(Buffer.from(x ?? '', 'base64url'))
}

/** One side of an X25519 exchange. */
export type Exchange = {
  /** What the other side is sent: 32 bytes. */
  readonly share: Uint8Array
  /** The shared secret; `null` where it is all zeros (RFC 7748, section 6.1: the point that came is of low order). */
  readonly agree: (publicKey: Uint8Array) => Uint8Array | null
}

/** The exchange of a 32-byte secret, for one or several others. */
export const exchange = (secretKey: Uint8Array): Exchange => {
  const key = privateKey('X25519', secretKey)
  return { share: publicBytes(key), agree: (publicKey) => agree(key, publicKey) }
}

const agree = (key: KeyObject, publicKey: Uint8Array): Uint8Array | null => {
  const pair = { privateKey: key, publicKey: publicKeyObject('X25519', publicKey) }
  let secret: Uint8Array
  try {
    secret = diffieHellman(pair)
  } catch {
    // OpenSSL refuses an all-zero result by itself; a build on another library is caught below.
    return null
  }
  return secret.every((byte) => byte === 0) ? null : secret
}

export const sharedSecret = (secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null =>
  exchange(secretKey).agree(publicKey)

/** X25519 public key of a 32-byte secret: for age identities and for boxes alike. */
export const boxPublicKey = (seed: Uint8Array): Uint8Array =>
  publicBytes(privateKey('X25519', seed))

/** The recipient with this X25519 public key (32 bytes). */
export const formatRecipient = (publicKey: Uint8Array): Recipient => ({
  text: encodeBech32(RECIPIENT, bytes32(publicKey)),
  publicKey,
})

// Any scalar shows a point of low order: clamping makes all of them multiples of the cofactor.
const PROBE = new Uint8Array(32).fill(1)

/** `VALIDATION_FAILED` unless `text` is a canonical X25519 recipient whose point is not of low order. */
export const parseRecipient = (text: string): Recipient => {
  const decoded = decodeBech32(text)
  if (decoded?.prefix !== RECIPIENT || decoded.bytes.length !== 32) {
    throw fail('VALIDATION_FAILED', {
      field: 'recipient',
      problem: 'is not an age X25519 recipient',
    })
  }
  if (sharedSecret(PROBE, decoded.bytes) === null) {
    throw fail('VALIDATION_FAILED', { field: 'recipient', problem: 'is a point of low order' })
  }
  return { text, publicKey: decoded.bytes }
}

/** The identity with this X25519 secret key (32 bytes). */
export const makeIdentity = (secretKey: Uint8Array): Identity => ({
  text: encodeBech32(IDENTITY.toLowerCase(), bytes32(secretKey)).toUpperCase(),
  secretKey,
  recipient: formatRecipient(boxPublicKey(secretKey)),
})

/** `VALIDATION_FAILED` unless `text` is `AGE-SECRET-KEY-1…`, upper case. The message never holds the text. */
export const parseIdentity = (text: string): Identity => {
  const decoded = decodeBech32(text)
  if (decoded?.prefix !== IDENTITY || decoded.bytes.length !== 32) {
    throw fail('VALIDATION_FAILED', { field: 'identity', problem: 'is not an age X25519 identity' })
  }
  return makeIdentity(decoded.bytes)
}

/** The identities of a file as `age-keygen` writes it: one a line; blank lines and lines with `#` are passed over. */
export const parseIdentityFile = (text: string): Identity[] => {
  const lines = text.split(/\r?\n/)
  const found = lines.filter((line) => line.trim() !== '' && !line.startsWith('#'))
  if (found.length === 0) {
    throw fail('VALIDATION_FAILED', { field: 'identity file', problem: 'holds no identity' })
  }
  return found.map((line) => parseIdentity(line.trim()))
}

/** The Ed25519 key of a 32-byte seed. */
export const makeSigningKey = (seed: Uint8Array): SigningKey => {
  const key = privateKey('Ed25519', seed)
  return { publicKey: publicBytes(key), sign: (message) => edSign(null, message, key) }
}

/** Whether `signature` (64 bytes) is that of `message` under the Ed25519 `publicKey`. Never throws on hostile bytes. */
export const verifySignature = (
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean => {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  try {
    return edVerify(null, message, publicKeyObject('Ed25519', publicKey), signature)
  } catch {
    return false
  }
}

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

/** The same of bytes that come one after the other. */
export const sha256Stream = (): Hash => createHash('sha256')

const CLASSES = ['content', 'recovery', 'list'] as const

/** The exact text whose hash a person confirms: a first line, then `class recipient` lines, classes in order, recipients sorted. */
export const recipientsText = (recipients: RecipientSet): string => {
  const lines = CLASSES.flatMap((kind) =>
    [...new Set(recipients[kind].map((text) => parseRecipient(text).text))]
      .sort()
      .map((text) => `${kind} ${text}\n`),
  )
  return `holdfast/recipients/v1\n${lines.join('')}`
}

/** base64url SHA-256 of `recipientsText`: what an agent pins. */
export const recipientsFingerprint = (recipients: RecipientSet): string =>
  toBase64url(sha256(utf8(recipientsText(recipients))))

/** A fingerprint for people: 64 hex digits in groups of four. */
export const showFingerprint = (fingerprint: string): string => {
  const bytes = parseBase64url(fingerprint, 32)
  if (bytes === null) throw fail('VALIDATION_FAILED', FINGERPRINT)
  return toHex(bytes).replace(/(.{4})(?=.)/g, '$1 ')
}

/** The base64url form of a fingerprint as a person gives it: hex in groups of any size, or base64url itself. */
export const parseFingerprint = (text: string): string => {
  const hex = text.replace(/[\s:-]/g, '').toLowerCase()
  if (/^[0-9a-f]{64}$/.test(hex)) return toBase64url(Buffer.from(hex, 'hex'))
  if (parseBase64url(text.trim(), 32) === null) throw fail('VALIDATION_FAILED', FINGERPRINT)
  return text.trim()
}

const FINGERPRINT = { field: 'fingerprint', problem: 'is not a SHA-256 in hex or base64url' }
