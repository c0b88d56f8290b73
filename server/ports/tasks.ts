/**
 * Work of the control plane that lasts: rows that a replica claims for a while. The claim has an epoch, and every statement
 * of the work names it: whoever has lost a claim changes nothing any more.
 */
import type { Failure } from '#shared/errors.ts'
import type { Ms } from '#shared/units.ts'

export type Claim<Job> = {
  readonly job: Job
  readonly epoch: number
  /** 1 at first. */
  readonly attempt: number
}

export type Tasks<Job, Progress> = {
  /** What waits, and what was left behind by replicas that are gone; no row to two callers. */
  claim(limit: number, lease: Ms): Promise<readonly Claim<Job>[]>
  /** Notes the progress and renews the claim; `false` where it is lost. */
  renew(claim: Claim<Job>, progress: Progress | null, lease: Ms): Promise<boolean>
  /** Gives the claim back: another attempt, not before `after` from now. Without a failure this one does not count. */
  release(claim: Claim<Job>, failure: Failure | null, after: Ms): Promise<void>
  /** The end, without a result. */
  fail(claim: Claim<Job>, failure: Failure): Promise<void>
}
