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
  /** The object that is damaged, where a level looks at objects; then what of this backup, and which others, need it. */
  object: Type.Optional(Type.String()),
  /** Paths of the first that need it; `file_count` is all of them. */
  files: Type.Optional(Type.Array(Type.String())),
  file_count: Type.Optional(count),
  /** The first backups that need it, this one too; `backup_count` is all of them. */
  backups: Type.Optional(Type.Array(id)),
  backup_count: Type.Optional(count),
})

const summary = {
  status: oneOf('passed', 'failed'),
  /** Entries that were looked at: files, folders, links and others. Of `restore` alone. */
  files: count,
  /** `restore`: packs and trees that were read; the other levels: objects that were looked at. */
  objects: count,
  /** `restore`: content that was checked, what several files share for each; the other levels: stored bytes of the objects. */
  bytes,
  problem_count: count,
}

export const VerificationResult = Type.Object({
  ...summary,
  /** The first hundred. */
  problems: Type.Array(Finding),
})

/** The last verification of each level that went to its end; what it found in detail is shown by itself. */
const last = nullable(Type.Object({ ...summary, at: time, verification_id: id }))
export const LastVerified = Type.Object({
  objects: last,
  sample: last,
  full: last,
  restore: last,
})

export type Finding = Static<typeof Finding>
export type LastVerified = Static<typeof LastVerified>
export type VerificationResult = Static<typeof VerificationResult>
