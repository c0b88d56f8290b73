/** Two lines: a body, and an Ed25519 signature over a label and the SHA-256 of the body's exact bytes. FORMAT.md, "Signed lines". */
import { fail } from '../errors.ts'
import { parseBase64url, toBase64url, utf8, view } from './bytes.ts'
import { sha256, type SigningKey, verifySignature } from './keys.ts'

export type Sign = SigningKey['sign']

export type SignedLines = {
  /** Line 1 without its line feed. */
  readonly line: Uint8Array
  /** What was signed: the label and the SHA-256 of the line. */
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

const LINE_FEED = 0x0a
const SIGNATURE_LINE = /^\{"signature":"([A-Za-z0-9_-]{86})"\}\n$/

const messageOf = (label: string, line: Uint8Array): Uint8Array =>
  Buffer.concat([utf8(`${label}\0`), sha256(line)])

/** The file: `line` (JSON without a line feed) and its signature, each ended by a line feed. */
export const encodeSignedLines = (label: string, line: string, sign: Sign): Uint8Array => {
  const signature = sign(messageOf(label, utf8(line)))
  return utf8(`${line}\n{"signature":"${toBase64url(signature)}"}\n`)
}

/** Splits such a file; the signature is not checked yet. `DAMAGED` for anything else, naming `what`. */
export const decodeSignedLines = (label: string, bytes: Uint8Array, what: string): SignedLines => {
  const end = bytes.indexOf(LINE_FEED)
  const rest = view(bytes.subarray(end + 1)).toString('latin1')
  const encoded = end < 0 ? undefined : SIGNATURE_LINE.exec(rest)?.[1]
  const signature = encoded === undefined ? null : parseBase64url(encoded, 64)
  if (signature === null)
    throw fail('DAMAGED', { what, problem: 'it is not a body and a signature' })
  const line = bytes.subarray(0, end)
  return { line, message: messageOf(label, line), signature }
}

export const isSignedBy = (signed: SignedLines, publicKey: Uint8Array): boolean =>
  verifySignature(publicKey, signed.message, signed.signature)
