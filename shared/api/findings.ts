/** What a verification found. */
import { type Static, Type } from '../schema.ts'
import { bytes, count, id, nullable, oneOf, time } from './shapes.ts'

/**
 * What was found, and about which file; `to` where nothing is known of the names between two places, the last one at null.
 * Without a path it concerns no file: the backup's list of what it could not read. `problem` names the object.
 */
export const Finding = Type.Object({
  path: nullable(Type.String()),
  to: Type.Optional(nullable(Type.String())),
  code: Type.String(),
  problem: Type.String(),
})

const summary = {
  status: oneOf('passed', 'failed'),
  /** Entries that were looked at: files, folders, links and others. */
  files: count,
  /** Packs and trees that were read. */
  objects: count,
  /** Content that was checked; what several files share counts for each. */
  bytes,
  problem_count: count,
}

export const VerificationResult = Type.Object({
  ...summary,
  /** The first hundred. */
  problems: Type.Array(Finding),
})

/** The last verification of each level that went to its end; what it found in detail is shown by itself. */
export const LastVerified = Type.Object({
  restore: nullable(Type.Object({ ...summary, at: time, verification_id: id })),
})

export type Finding = Static<typeof Finding>
export type VerificationResult = Static<typeof VerificationResult>
