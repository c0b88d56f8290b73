/** Kinds of keys and what each may do: recipients seal, identities open, signing keys sign. FORMAT.md, "Keys". */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  sign as edSign,
  verify as edVerify,
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

// RFC 8410: everything in the DER form of these keys but the 32 bytes is constant.
const DER = {
  x25519: { private: '302e020100300506032b656e04220420', public: '302a300506032b656e032100' },
  ed25519: { private: '302e020100300506032b657004220420', public: '302a300506032b6570032100' },
} as const

type Curve = keyof typeof DER

const bytes32 = (bytes: Uint8Array): Uint8Array => {
  if (bytes.length !== 32) throw new RangeError('a key has 32 bytes')
  return bytes
}

const privateKey = (curve: Curve, secret: Uint8Array): KeyObject =>
  createPrivateKey({
    key: Buffer.concat([Buffer.from(DER[curve].private, 'hex'), bytes32(secret)]),
    format: 'der',
    type: 'pkcs8',
  })

const publicKeyObject = (curve: Curve, bytes: Uint8Array): KeyObject =>
  createPublicKey({
    key: Buffer.concat([Buffer.from(DER[curve].public, 'hex'), bytes32(bytes)]),
    format: 'der',
    type: 'spki',
  })

const publicBytes = (key: KeyObject): Uint8Array =>
  Uint8Array.from(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32))

/** X25519. `null` where the result is all zeros (RFC 7748, section 6.1: the other side sent a point of low order). */
export const sharedSecret = (secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null => {
  const pair = {
    privateKey: privateKey('x25519', secretKey),
    publicKey: publicKeyObject('x25519', publicKey),
  }
  let secret: Uint8Array
  try {
    secret = diffieHellman(pair)
  } catch {
    // OpenSSL refuses an all-zero result by itself; a build on another library is caught below.
    return null
  }
  return secret.every((byte) => byte === 0) ? null : secret
}

/** X25519 public key of a 32-byte secret: for age identities and for boxes alike. */
export const boxPublicKey = (seed: Uint8Array): Uint8Array =>
  publicBytes(privateKey('x25519', seed))

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
  const key = privateKey('ed25519', seed)
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
    return edVerify(null, message, publicKeyObject('ed25519', publicKey), signature)
  } catch {
    return false
  }
}

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest()

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
