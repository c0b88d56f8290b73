/**
 * One turn of a verification. Many wait, and some last for days: each works for a while, notes how far it is, and stands in
 * line again behind those that wait. What a crash interrupts goes on from what was noted last.
 */
import type { VerificationResult } from '#shared/api/findings.ts'
import { fail, type Failure } from '#shared/errors.ts'
import { MINUTE, type Ms } from '#shared/units.ts'
import type { Claim } from '../../ports/tasks.ts'
import type {
  StoredObjects,
  VerificationJob,
  VerificationProgress,
  Verifications,
  VerificationStand,
} from '../../ports/verifications.ts'
import type { OpenParts } from '../reading/open-content.ts'
import { LEASE, type Work } from '../tasks/run-task.ts'
import type { Pace } from './pace.ts'

export type WorkParts = OpenParts & {
  readonly verifications: Verifications
  readonly storedObjects: StoredObjects
  readonly pace: Pace
  /** How long one works before others may; default: `TURN`. */
  readonly turn?: Ms
}

export type VerifyWork = Work<VerificationJob, VerificationStand>

const TURN: Ms = MINUTE

export type Turn = {
  readonly stop: AbortSignal
  readonly pace: Pace
  report(stand: VerificationStand): void
  isOver(): boolean
  /** Notes how far it is, and lets others work. */
  giveBack(stand: VerificationStand): Promise<void>
}

export const createTurn = (
  { verifications, clock, pace, turn = TURN }: WorkParts,
  claim: Claim<VerificationJob>,
  how: Parameters<VerifyWork>[1],
): Turn => {
  const { stop } = how
  const begun = clock.monotonic()
  return {
    stop,
    pace,
    report: (stand) => how.report(stand),
    isOver: () => clock.monotonic() - begun >= turn,
    giveBack: async (stand) => {
      stop.throwIfAborted()
      if (!(await verifications.renew(claim, stand, LEASE))) throw lost()
      await verifications.release(claim, null, 0)
    },
  }
}

const lost = (): Error => fail('LEASE_LOST', { run: 'of this verification' })

export type Ended = { readonly result: VerificationResult; readonly progress: VerificationProgress }

export const settle = async (
  { verifications }: Pick<WorkParts, 'verifications'>,
  claim: Claim<VerificationJob>,
  { result, progress }: Ended,
): Promise<void> => {
  if (!(await verifications.complete(claim, result, progress))) throw lost()
}

/** A record or secret that cannot be believed is a finding about all of the backup. */
export const wholeBackup = ({ code, message }: Failure): Ended => ({
  progress: { bytes_total: 0, bytes_done: 0, files_done: 0, problem_count: 1 },
  result: {
    status: 'failed',
    files: 0,
    objects: 0,
    bytes: 0,
    problem_count: 1,
    problems: [{ path: '/', to: null, code, problem: message }],
  },
})
