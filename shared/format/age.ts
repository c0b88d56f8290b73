/** age v1 (C2SP age specification) with X25519 recipients: header, and whole objects. FORMAT.md, "age header". */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  timingSafeEqual,
} from 'node:crypto'
import { fail } from '../errors.ts'
import { KiB } from '../units.ts'
import { openSegments, sealInto, sealedSize, TAG } from './age-payload.ts'
import { parseBase64, toBase64, utf8, view } from './bytes.ts'
import { exchange, type Identity, type Recipient, sharedSecret } from './keys.ts'

export {
  createSealer,
  openSegments,
  openSegmentsInPlace,
  plainSize,
  SEALED_SEGMENT,
  SEGMENT,
  type Sealer,
  sealedSize,
  sealPayload,
  type SegmentRange,
  segmentRange,
} from './age-payload.ts'

export const FILE_KEY = 16
export const NONCE = 16
/** Bytes of a header that is read at all. Ours take some 100 a recipient. */
export const MAX_HEADER = 64 * KiB

const VERSION_LINE = 'age-encryption.org/v1\n'
const WRAP_LABEL = 'age-encryption.org/v1/X25519'
const CIPHER = 'chacha20-poly1305'
const COLUMNS = 64

export type Stanza = {
  readonly type: string
  readonly args: readonly string[]
  readonly body: Uint8Array
}

export type Header = {
  readonly stanzas: readonly Stanza[]
  readonly mac: Uint8Array
  /** Bytes up to and with the line feed after the MAC; the payload nonce follows. */
  readonly headerLength: number
}

/** What one object is sealed with: all of it random, used once, for this object's bytes only. */
export type Seal = {
  readonly fileKey: Uint8Array
  readonly nonce: Uint8Array
  readonly recipients: readonly Recipient[]
  /** One 32-byte X25519 secret per recipient. */
  readonly ephemerals: readonly Uint8Array[]
}

const damaged = (problem: string): Error => fail('DAMAGED', { what: 'An age header', problem })

const hkdf = (secret: Uint8Array, salt: Uint8Array, label: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, salt, label, 32))

const EMPTY = new Uint8Array()
// One wrap key wraps one file key (both ends of the exchange are in its salt), so its nonce may be all zeros.
const ZERO_NONCE = new Uint8Array(12)

const macOf = (fileKey: Uint8Array, headerBeforeMac: Uint8Array): Uint8Array =>
  createHmac('sha256', hkdf(fileKey, EMPTY, 'header'))
    .update(headerBeforeMac)
    .digest()

/** Key of the payload (32 bytes) from file key and payload nonce (16 bytes each). */
export const payloadKey = (fileKey: Uint8Array, nonce: Uint8Array): Uint8Array =>
  hkdf(fileKey, nonce, 'payload')

const wrapKey = (secret: Uint8Array, share: Uint8Array, recipient: Uint8Array): Uint8Array =>
  hkdf(secret, Buffer.concat([share, recipient]), WRAP_LABEL)

const wrap = (fileKey: Uint8Array, recipient: Recipient, ephemeral: Uint8Array): string => {
  const { share, agree } = exchange(ephemeral)
  const secret = agree(recipient.publicKey)
  if (secret === null) {
    throw fail('VALIDATION_FAILED', { field: 'recipient', problem: 'is a point of low order' })
  }
  const key = wrapKey(secret, share, recipient.publicKey)
  const cipher = createCipheriv(CIPHER, key, ZERO_NONCE, { authTagLength: TAG })
  const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()])
  return `-> X25519 ${toBase64(share)}\n${toBase64(body)}\n`
}

/** Header and payload nonce of an object: "preamble", what stands before the payload. */
export const encodePreamble = (seal: Seal): Uint8Array => {
  const { fileKey, nonce, recipients, ephemerals } = seal
  if (fileKey.length !== FILE_KEY || nonce.length !== NONCE) {
    throw new RangeError('file key and nonce have 16 bytes each')
  }
  if (recipients.length === 0 || recipients.length !== ephemerals.length) {
    throw new RangeError('every recipient needs one ephemeral secret')
  }
  const stanzas = recipients.map((recipient, i) => wrap(fileKey, recipient, ephemerals[i] ?? EMPTY))
  const before = utf8(`${VERSION_LINE}${stanzas.join('')}---`)
  return Buffer.concat([before, utf8(` ${toBase64(macOf(fileKey, before))}\n`), nonce])
}

type Cursor = { readonly text: string; at: number }

/** The next line without its line feed. */
const nextLine = (cursor: Cursor): string => {
  const end = cursor.text.indexOf('\n', cursor.at)
  if (end < 0) throw damaged('it ends too early, or is too long')
  const line = cursor.text.slice(cursor.at, end)
  cursor.at = end + 1
  return line
}

const parseArguments = (line: string): readonly [string, ...string[]] => {
  const [type, ...args] = line.slice(3).split(' ')
  if (type === undefined || ![type, ...args].every((arg) => /^[\x21-\x7e]+$/.test(arg))) {
    throw damaged('a stanza has a malformed first line')
  }
  return [type, ...args]
}

const parseStanza = (line: string, cursor: Cursor): Stanza => {
  const [type, ...args] = parseArguments(line)
  const body: Uint8Array[] = []
  for (;;) {
    const encoded = nextLine(cursor)
    const part = encoded.length > COLUMNS ? null : parseBase64(encoded)
    if (part === null) throw damaged('the body of a stanza is malformed')
    body.push(part)
    if (encoded.length < COLUMNS) return { type, args, body: Buffer.concat(body) }
  }
}

/** The header that `bytes` begin with; what follows it is not looked at. `DAMAGED` unless it is exactly as age writes it. */
export const parseHeader = (bytes: Uint8Array): Header => {
  const cursor = { text: view(bytes.subarray(0, MAX_HEADER)).toString('latin1'), at: 0 }
  if (!cursor.text.startsWith(VERSION_LINE)) throw damaged('it is not of an age v1 file')
  cursor.at = VERSION_LINE.length
  const stanzas: Stanza[] = []
  for (;;) {
    const line = nextLine(cursor)
    if (line.startsWith('-> ')) {
      stanzas.push(parseStanza(line, cursor))
      continue
    }
    const mac = line.startsWith('--- ') ? parseBase64(line.slice(4)) : null
    if (mac?.length !== 32 || stanzas.length === 0) throw damaged('it does not end in a MAC')
    return { stanzas, mac, headerLength: cursor.at }
  }
}

/** Share and wrapped key of an X25519 stanza. */
const x25519Parts = (stanza: Stanza): { share: Uint8Array; wrapped: Uint8Array } => {
  const [share] = stanza.args.map(parseBase64)
  if (stanza.args.length !== 1 || share?.length !== 32 || stanza.body.length !== FILE_KEY + TAG) {
    throw damaged('an X25519 stanza is malformed')
  }
  return { share, wrapped: stanza.body }
}

/** The file key, or `null` where the stanza is for somebody else. */
const unwrap = (stanza: Stanza, identity: Identity): Uint8Array | null => {
  const { share, wrapped } = x25519Parts(stanza)
  const secret = sharedSecret(identity.secretKey, share)
  if (secret === null) throw damaged('a share is a point of low order')
  const key = wrapKey(secret, share, identity.recipient.publicKey)
  const decipher = createDecipheriv(CIPHER, key, ZERO_NONCE, { authTagLength: TAG })
  decipher.setAuthTag(wrapped.subarray(FILE_KEY))
  const fileKey = decipher.update(wrapped.subarray(0, FILE_KEY))
  try {
    decipher.final()
  } catch {
    return null
  }
  return fileKey
}

const findFileKey = (header: Header, identities: readonly Identity[]): Uint8Array | null => {
  // A passphrase must stand alone: age refuses a header that mixes it with keys.
  if (header.stanzas.length > 1 && header.stanzas.some((stanza) => stanza.type === 'scrypt')) {
    throw damaged('a passphrase stands beside other recipients')
  }
  const mine = header.stanzas.filter((stanza) => stanza.type === 'X25519')
  for (const identity of identities) {
    for (const stanza of mine) {
      const fileKey = unwrap(stanza, identity)
      if (fileKey !== null) return fileKey
    }
  }
  return null
}

/**
 * File key (16 bytes) of the object that begins with `bytes`, its MAC checked. `WRONG_KEY` naming `what` when no
 * identity fits; `DAMAGED` when the header is malformed or was changed. Stanzas of other types are passed over.
 */
export const openHeader = (
  bytes: Uint8Array,
  identities: readonly Identity[],
  what = 'this object',
): Uint8Array => {
  const header = parseHeader(bytes)
  const fileKey = findFileKey(header, identities)
  if (fileKey === null) throw fail('WRONG_KEY', { what })
  checkMac(bytes, header, fileKey)
  return fileKey
}

/** The MAC covers the header up to and with the three dashes: all but a space, 43 characters and a line feed. */
const checkMac = (bytes: Uint8Array, header: Header, fileKey: Uint8Array): void => {
  const expected = macOf(fileKey, bytes.subarray(0, header.headerLength - 45))
  if (!timingSafeEqual(expected, header.mac)) throw damaged('its MAC does not match')
}

/** Length of header and nonce. `DAMAGED` when `bytes` end within them. */
export const preambleLength = (bytes: Uint8Array): number => {
  const length = parseHeader(bytes).headerLength + NONCE
  if (bytes.length < length) throw damaged('the file ends before its payload')
  return length
}

/** The payload key and the length of the preamble that `bytes` begin with. Errors as `openHeader`. */
export const openPreamble = (
  bytes: Uint8Array,
  identities: readonly Identity[],
  what?: string,
): { readonly key: Uint8Array; readonly length: number } => {
  const fileKey = openHeader(bytes, identities, what)
  const length = preambleLength(bytes)
  return { key: payloadKey(fileKey, bytes.subarray(length - NONCE, length)), length }
}

/** The same with a file key (16 bytes) that somebody else has found. `DAMAGED` where it is not this object's. */
export const openPreambleWith = (
  bytes: Uint8Array,
  fileKey: Uint8Array,
): { readonly key: Uint8Array; readonly length: number } => {
  checkMac(bytes, parseHeader(bytes), fileKey)
  const length = preambleLength(bytes)
  return { key: payloadKey(fileKey, bytes.subarray(length - NONCE, length)), length }
}

/** A whole object. `fileKey`, `nonce` and `ephemerals` must be fresh: they seal these bytes and no others. */
export const seal = (what: Seal & { readonly plaintext: Uint8Array }): Uint8Array => {
  const preamble = encodePreamble(what)
  const out = Buffer.allocUnsafeSlow(sealedSize(what.plaintext.length, preamble.length))
  out.set(preamble)
  sealInto(payloadKey(what.fileKey, what.nonce), what.plaintext, out, preamble.length)
  return out
}

/** The plaintext of a whole object. `WRONG_KEY` naming `what`, or `DAMAGED`. */
export const open = (
  bytes: Uint8Array,
  identities: readonly Identity[],
  what?: string,
): Uint8Array => {
  const { key, length } = openPreamble(bytes, identities, what)
  return openSegments(key, bytes.subarray(length), 0, true)
}
