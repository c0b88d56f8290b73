/** What waits for connected servers is offered to their agents. Any number of replicas may do this at once. */
import { Failure } from '#shared/errors.ts'
import { type RunRef, type Running, step } from '../core/backup-machine.ts'
import type { Link } from '../ports.ts'
import type { Held } from '../ports/runs.ts'
import { type AgentParts, changeRun, isRefusal, problemFor } from './agent-parts.ts'
import { offerBackup } from './dispatch-backup.ts'
import { offerRestore } from './restores/offer-restore.ts'

/** Runs of a kind that one sweep takes: the rest is taken by the next, or by another replica. */
const AT_ONCE = 20

/** What cannot be offered now is offered again later; what never can fails with the reason. */
const giveUp = async (parts: AgentParts, { of, run }: Held, error: unknown): Promise<void> => {
  const problem = problemFor(error)
  const fields = { [of.kind]: of.id, code: problem.code, problem: problem.message }
  parts.log.error(fields, `cannot offer a ${of.kind}`)
  if (!(error instanceof Failure) || !isRefusal(error)) return
  const { code, message } = error
  await changeRun(parts, of, (now) =>
    step(now, { kind: 'refused', epoch: run.epoch, problem: { code, message } }),
  )
}

type Claimed = Held & { readonly link: Link }

const claim = async (parts: AgentParts, kind: RunRef['kind']): Promise<readonly Claimed[]> => {
  const { lease, longestRun } = parts.timing
  return parts.runs.claim(kind, parts.links.all(), AT_ONCE, (run, link, now, timeout) =>
    step(run, {
      kind: 'dispatched',
      lease: { link: link.joins, until: now + lease },
      deadline: now + (timeout ?? longestRun),
    }),
  )
}

const offer = async (
  parts: AgentParts,
  claimed: Claimed,
  how: (of: RunRef, run: Running) => Promise<void>,
): Promise<void> => {
  const { of, run } = claimed
  try {
    if (run.at === 'running') await how(of, run)
  } catch (error) {
    await giveUp(parts, claimed, error)
  }
}

/**
 * Offers what waits for the servers that are connected here, and says how many it took. They look at their storages first, so one
 * that is slow must not keep the others waiting.
 */
export const dispatchBackups = async (parts: AgentParts, stop: AbortSignal): Promise<number> => {
  const all = await claim(parts, 'backup')
  await Promise.all(
    all.map(async (claimed) =>
      offer(parts, claimed, async (of, run) => {
        if (of.kind === 'backup') await offerBackup(parts, claimed.link, [of.id, run, stop])
      }),
    ),
  )
  return all.length
}

/** The same, for restores. */
export const dispatchRestores = async (parts: AgentParts, stop: AbortSignal): Promise<number> => {
  const all = await claim(parts, 'restore')
  await Promise.all(
    all.map(async (claimed) =>
      offer(parts, claimed, async (of, run) => {
        if (of.kind === 'restore') await offerRestore(parts, [claimed.link, of.id, run], stop)
      }),
    ),
  )
  return all.length
}
