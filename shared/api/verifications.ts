import { type Static, Type } from '../schema.ts'
import { Reason } from './backups.ts'
import { VerificationResult } from './findings.ts'
import { body, bytes, count, id, nullable, oneOf, time } from './shapes.ts'

/** `restore`: everything that the backup needs is read and decrypted, down to the ids of its blobs. */
export const VerifyInput = body({
  level: oneOf('restore'),
  /** Where only the customer's key opens the content: the request that its holder approves, now or later. */
  open_request_id: Type.Optional(id),
})

export const Verification = Type.Object({
  id,
  org_id: id,
  backup_id: id,
  level: oneOf('restore'),
  status: oneOf('pending', 'running', 'completed', 'failed'),
  open_request_id: nullable(id),
  progress: Type.Object({
    /** As the backup counted them. */
    bytes_total: bytes,
    bytes_done: bytes,
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

export type VerifyInput = Static<typeof VerifyInput>
export type Verification = Static<typeof Verification>
