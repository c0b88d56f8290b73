/** What waits for connected servers is offered to their agents. Any number of replicas may do this at once. */
import { Failure } from '#shared/errors.ts'
import { step } from '../core/backup-machine.ts'
import type { Link } from '../ports.ts'
import type { Held } from '../ports/runs.ts'
import { type AgentParts, changeRun, isRefusal, problemFor } from './agent-parts.ts'
import { offerBackup } from './dispatch-backup.ts'

/** Runs of a kind that one sweep takes: the rest is taken by the next, or by another replica. */
const AT_ONCE = 20

const offer = async (parts: AgentParts, link: Link, { of, run }: Held): Promise<void> => {
  if (run.at !== 'running') return
  if (of.kind === 'backup') await offerBackup(parts, link, [of.id, run])
}

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

/** Offers what waits for the servers that are connected here, and says how many it took. */
export const dispatchRuns = async (parts: AgentParts): Promise<number> => {
  const links = parts.links.all()
  const { lease, longestRun } = parts.timing
  const held = await parts.runs.claim(links, AT_ONCE, (run, link, now) =>
    step(run, {
      kind: 'dispatched',
      lease: { link: link.joins, until: now + lease },
      deadline: now + longestRun,
    }),
  )
  for (const one of held) {
    try {
      await offer(parts, one.link, one)
    } catch (error) {
      await giveUp(parts, one, error)
    }
  }
  return held.length
}
