import { type Static, Type } from '../schema.ts'
import { Reason } from './backups.ts'
import { VerificationResult } from './findings.ts'
import { body, bytes, count, duration, id, listQuery, nullable, oneOf, time } from './shapes.ts'

/**
 * How deep a verification looks. `objects`: every object of the backup is there, with the size that was signed for and the
 * ETag that was confirmed. `sample`: a random share of them (a twentieth, at least 16 and at most 1 GiB) is read and
 * compared with the SHA-256 that was signed for. `full`: all of them. `restore`: everything that restoring would read is
 * read and decrypted, down to the ids of the blobs. Only the last one needs the key of the content.
 */
export const VERIFICATION_LEVELS = ['objects', 'sample', 'full', 'restore'] as const
export const verificationLevel = oneOf(...VERIFICATION_LEVELS)
export const verificationStatus = oneOf('pending', 'running', 'completed', 'failed', 'canceled')

/** What a storage verifies by itself: the newest backup of each job, `every` so often. */
export const VerifyPlan = Type.Object({
  level: verificationLevel,
  /** ISO 8601. */
  every: Type.String(),
})

export const VerifyPlanInput = body({ level: verificationLevel, every: duration })

export const VerifyInput = body({
  level: verificationLevel,
  /** Of level `restore`, where only the customer's key opens the content: the request that its holder approves, now or later. */
  open_request_id: Type.Optional(id),
})

export const Verification = Type.Object({
  id,
  org_id: id,
  backup_id: id,
  level: verificationLevel,
  status: verificationStatus,
  open_request_id: nullable(id),
  progress: Type.Object({
    /** Of `restore`: content, as the backup counted it; of the other levels: stored bytes that are looked at. */
    bytes_total: bytes,
    bytes_done: bytes,
    /** Of `restore` alone; the others look at objects. */
    files_done: count,
    problem_count: count,
  }),
  result: nullable(VerificationResult),
  /** Why it could not be done. */
  error: nullable(Reason),
  created_at: time,
  started_at: nullable(time),
  completed_at: nullable(time),
})

export const VerificationQuery = listQuery(
  {
    level: Type.Optional(verificationLevel),
    status: Type.Optional(verificationStatus),
  },
  ['created_at'],
)

export type VerificationLevel = (typeof VERIFICATION_LEVELS)[number]
export type VerificationQuery = Static<typeof VerificationQuery>
export type VerifyPlan = Static<typeof VerifyPlan>
export type VerifyPlanInput = Static<typeof VerifyPlanInput>
export type VerifyInput = Static<typeof VerifyInput>
export type Verification = Static<typeof Verification>
