/** An agent without a socket: its reports go straight to the flows, its orders into a list. */
import type { AgentParts } from '#server/flow/agent-parts.ts'
import { dispatchBackups } from '#server/flow/dispatch-runs.ts'
import { takeReport } from '#server/flow/take-report.ts'
import type { Link } from '#server/ports.ts'
import type { BackupId, JobId, ServerId } from '#shared/ids.ts'
import type { SigningKey } from '#shared/format/keys.ts'
import type { BackupStart, Order, Orders } from '#shared/protocol/orders.ts'
import { hashOf, id, type World } from './agent-world.ts'
import { must, openNewVault } from './agent-plane.ts'
import { type AgentKeysAndState, newAgent, type Unsent } from './scripted-agent.ts'
import { FACTS } from './facts.ts'

export type DirectAgent = {
  readonly server: ServerId
  readonly signing: SigningKey
  /** The present connection. */
  link(): Link
  readonly orders: Order[]
  ask(report: Unsent): Promise<Order>
  /** As `ask`, for a report without an answer. */
  tell(report: Unsent): Promise<Order | null>
  /** The answer of a heartbeat that lists these runs. */
  beat(...runs: { readonly run: string; readonly epoch: number }[]): Promise<Orders['leases']>
  /** A new connection: the old one is not told. */
  reconnect(): Promise<void>
  /** The newest order of this type. */
  last<T extends keyof Orders>(type: T): Orders[T]
}

const stop = new AbortController().signal

/** Enrolled and connected at `parts`; several may be at one. */
export const directAgent = async (
  parts: AgentParts,
  world: Pick<World, 'organization' | 'addServer' | 'addToken'>,
  { signing, boxKey }: Pick<AgentKeysAndState, 'signing' | 'boxKey'> = newAgent(),
): Promise<DirectAgent> => {
  const server = await world.addServer()
  const token = hashOf(await world.addToken(server))
  const keys = {
    signingKey: signing.publicKey,
    boxKey: new Uint8Array(Buffer.from(boxKey, 'base64url')),
  }
  const enrolled = await parts.agents.enroll(token, { ...keys, facts: FACTS })
  if ('refused' in enrolled) throw new Error(enrolled.refused)
  const orders: Order[] = []
  const connect = (joins: number): Link => ({
    server,
    organization: world.organization,
    joins,
    send: (order) => {
      orders.push(order)
      return true
    },
    close: () => undefined,
  })
  let link = connect(enrolled.joins)
  parts.links.add(link)
  const tell: DirectAgent['tell'] = async (report) =>
    takeReport(parts, [link, { ...report, id: id<'message'>() }], stop)
  const agent: DirectAgent = {
    server,
    signing,
    link: () => link,
    orders,
    tell,
    ask: async (report) => {
      const answer = await tell(report)
      if (answer === null) throw new Error(`${report.type} has no answer`)
      return answer
    },
    beat: async (...runs) => {
      await tell({ type: 'heartbeat', runs })
      return agent.last('leases')
    },
    reconnect: async () => {
      const joins = link.joins + 1
      await parts.agents.join(server, joins, FACTS)
      link = connect(joins)
      parts.links.add(link)
    },
    last: (type) => must(orders.findLast((order) => order.type === type) ?? { type: 'none' }, type),
  }
  return agent
}

/** A backup of `job` (a new one by default), offered and accepted. */
export const startRun = async (
  parts: AgentParts,
  world: World,
  agent: DirectAgent,
  job?: JobId,
): Promise<BackupStart> => {
  await world.addBackup(job ?? (await world.addJob(agent.server)), agent.server)
  await dispatchBackups(parts, stop)
  const start = agent.last('backup.start')
  await agent.tell({ type: 'backup.accepted', run: start.run, epoch: start.epoch })
  return start
}

/** The same, in a vault that is open. */
export const startOpen = async (
  parts: AgentParts,
  world: World,
  agent: DirectAgent,
  job?: JobId,
): Promise<BackupStart> => {
  const start = await startRun(parts, world, agent, job)
  if (start.vault.is_new) await openNewVault(agent, agent, [world, start])
  return start
}

export const statusOf = async (
  world: World,
  backup: string,
): Promise<{ status: string; lease_epoch: number; error: unknown; sequence: number | null }> =>
  world.database.db
    .selectFrom('backups')
    .select(['status', 'lease_epoch', 'error', 'sequence'])
    .where('id', '=', backup as BackupId)
    .executeTakeFirstOrThrow()
