/**
 * The one signed object that a commit turns into a backup: a zstd frame of two lines, then padding.
 * FORMAT.md, "Backup record".
 */
import { fail } from '../errors.ts'
import { concat } from './bytes.ts'
import { checkPadding, NO_INDEX, paddingFrame } from './padding.ts'
import { bodyLine, MAX_BODY, parseBodyLine, type RecordBody } from './record-body.ts'
import {
  decodeSignedLines,
  encodeSignedLines,
  isSignedBy,
  type Sign,
  type SignedLines,
} from './signed-lines.ts'
import { decodeFrame, encodeFrame, frameLength } from './zstd.ts'

export type {
  RecordBody,
  RecordBytes,
  RecordCounts,
  RecordError,
  RecordErrors,
  RecordHost,
  RecordSource,
} from './record-body.ts'

/** A record as read. `body` is to be believed only after `verifyRecord`. */
export type DecodedRecord = { readonly body: RecordBody; readonly signed: SignedLines }

const LABEL = 'holdfast/record/v1'
const WHAT = 'A backup record'
const EFFORT = { level: 9 }
/** Body, signature line and two line feeds. */
const MAX_LINES = MAX_BODY + 256

/**
 * Plaintext of a record object: always 64 KiB. `sign` is that of the agent key in office. `LIMIT_EXCEEDED` when the
 * body is too long even without its list of first errors.
 */
export const encodeRecord = (body: RecordBody, sign: Sign): Uint8Array => {
  const frame = encodeFrame(encodeSignedLines(LABEL, bodyLine(body), sign), EFFORT)
  return concat([frame, paddingFrame(frame.length, NO_INDEX)])
}

/**
 * Reads the plaintext of a record object: one frame, exact padding, two lines, a body of the known format. Its
 * signature is not checked yet. `DAMAGED`, or `UNSUPPORTED` for an unknown format or feature.
 */
export const decodeRecord = (plaintext: Uint8Array): DecodedRecord => {
  const length = frameLength(plaintext)
  checkPadding(plaintext, length, NO_INDEX)
  const lines = decodeFrame(plaintext.subarray(0, length), MAX_LINES)
  const signed = decodeSignedLines(LABEL, lines, WHAT)
  return { body: parseBodyLine(signed.line), signed }
}

/**
 * Number in the chain of the agent key that signed the record. `DAMAGED` when none did, or when the record is of
 * another vault or of another backup than the one in its key. `chain` is what `verifyChain` gave.
 */
export const verifyRecord = (
  record: DecodedRecord,
  chain: { readonly vault: string; readonly signers: readonly Uint8Array[] },
  expectedBackup?: string,
): number => {
  if (record.body.vault !== chain.vault) {
    throw fail('DAMAGED', { what: WHAT, problem: 'it is of another vault' })
  }
  if (expectedBackup !== undefined && record.body.backup !== expectedBackup) {
    throw fail('DAMAGED', { what: WHAT, problem: 'it is of another backup' })
  }
  // The newest key first: nearly always it is that one.
  const number = chain.signers.findLastIndex((key) => isSignedBy(record.signed, key))
  if (number < 0) throw fail('DAMAGED', { what: WHAT, problem: 'no key of its vault signed it' })
  return number
}
