/** A heartbeat: the agent is alive, and these are the runs that it works on. PROTOCOL.md, "Runs, epochs, leases". */
import { isId } from '#shared/ids.ts'
import type { Order, Orders } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import { SECOND } from '#shared/units.ts'
import { isFinal, type Run, step } from '../core/backup-machine.ts'
import type { Link } from '../ports.ts'
import type { Held } from '../ports/runs.ts'
import { type AgentParts, changeRun, freshId } from './agent-parts.ts'
import { sendCancel } from './cancel-run.ts'
import { completeAbandoned } from './commit-backup.ts'
import { dropRecords } from './drop-records.ts'

type Renewed = Orders['leases']['renewed'][number]

/** `null`: the run is not the agent's any more. A finished one is: the agent asks for its answer again. */
const present = async (
  parts: AgentParts,
  link: Link,
  held: Held,
): Promise<Extract<Run, { epoch: number }> | null> => {
  if (held.run.at === 'completed' || held.run.at === 'partial') return held.run
  const settled = await changeRun(parts, held.of, (run, now) =>
    step(run, {
      kind: 'presented',
      lease: { link: link.joins, until: now + parts.timing.lease },
    }),
  )
  return settled?.verdict === 'changed' ? settled.run : null
}

/** Where the agent left a complete commit behind, that is finished; else the run is over, or offered again. */
const absent = async (
  parts: AgentParts,
  [link, { of, run }]: readonly [Link, Held],
  stop: AbortSignal,
): Promise<void> => {
  const event = { kind: 'absent', link: link.joins } as const
  const [next, verdict] = step(run, event)
  if (verdict !== 'changed') return
  const isLeft = of.kind === 'backup' && isFinal(next)
  const scope = isLeft ? await parts.runs.scope(of.id, link.server) : null
  if (scope !== null && (await completeAbandoned(parts, scope, stop))) return
  const settled = await changeRun(parts, of, (now) => step(now, event))
  if (scope !== null && settled?.verdict === 'changed') await dropRecords(parts, scope, stop)
}

const remindOfCancel = (parts: AgentParts, link: Link, { of, run }: Held): void => {
  if (run.at === 'running' && run.cancelAsked) sendCancel(parts, link, [of, run.epoch])
}

/** `null`: a newer connection of this server has taken over, and this one is closed. */
export const renewLeases = async (
  parts: AgentParts,
  [link, report]: readonly [Link, Reports['heartbeat']],
  stop: AbortSignal,
): Promise<Order | null> => {
  if (!(await parts.agents.seen(link.server, link.joins))) {
    link.close('superseded', 'a newer connection of this server took over, or it was revoked')
    return null
  }
  const listed = new Set(report.runs.map(({ run }) => run).filter(isId))
  const held = await parts.runs.heldBy(link.server, [...listed])
  const renewed: Renewed[] = []
  const mine: Held[] = []
  for (const one of held) {
    if (!listed.has(one.of.id)) continue
    const run = await present(parts, link, one)
    if (run === null) continue
    mine.push({ of: one.of, run })
    const lease_seconds = parts.timing.lease / SECOND
    const paused = 'paused' in run && run.paused !== null ? { paused: true } : {}
    renewed.push({ run: one.of.id, epoch: run.epoch, lease_seconds, ...paused })
  }
  const kept = new Set(renewed.map(({ run }) => run))
  const lost = [...listed].filter((run) => !kept.has(run))
  const { priority, ...limits } = await parts.agents.settings(link.server)
  const id = freshId(parts)
  link.send({ type: 'leases', id, re: report.id, renewed, lost, limits, priority })
  for (const one of mine) remindOfCancel(parts, link, one)
  for (const one of held) if (!listed.has(one.of.id)) await absent(parts, [link, one], stop)
  return null
}
