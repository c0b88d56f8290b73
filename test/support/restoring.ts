/** Agents that restore what lies in a `stored-vault.ts`: their reports go straight to the flows. */
import { systemClock } from '#server/io/clock.ts'
import { systemRandom } from '#server/io/random.ts'
import { dispatchRestores } from '#server/flow/dispatch-runs.ts'
import type { AgentParts, Timing } from '#server/flow/agent-parts.ts'
import { boxPublicKey, makeSigningKey } from '#shared/format/keys.ts'
import type { BackupId, ServerId } from '#shared/ids.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { must } from './agent-plane.ts'
import { hashOf, TEST_TIMING } from './agent-world.ts'
import { type DirectAgent, directAgent } from './direct-agent.ts'
import { dataOf } from './answers.ts'
import { newId } from './http-objects.ts'
import { memoryLog } from './log.ts'
import type { ReadingWorld } from './stored-vault.ts'

export type RestoringAgent = DirectAgent & {
  /** X25519 secret that keys are sealed to. */
  readonly secret: Uint8Array
}

/** The parts behind the connections of agents, as the API of this world has them. */
export const partsOf = (
  { api }: ReadingWorld,
  timing: Timing = TEST_TIMING,
): AgentParts & { readonly log: ReturnType<typeof memoryLog> } => ({
  ...api.agents,
  log: memoryLog(),
  clock: systemClock,
  random: systemRandom,
  timing,
})

const addServer = async ({ database, organization }: ReadingWorld): Promise<ServerId> => {
  const id = newId<'server'>()
  await database.db
    .insertInto('servers')
    .values({ id, org_id: organization, name: `server ${id}`, type: 'agent' })
    .execute()
  return id
}

const addToken = async (
  { database, organization }: ReadingWorld,
  server: ServerId,
): Promise<string> => {
  const token = Buffer.from(systemRandom(32)).toString('base64url')
  await database.db
    .insertInto('enrollment_tokens')
    .values({
      id: newId<'enrollment token'>(),
      org_id: organization,
      server_id: server,
      hash: hashOf(token),
      expires_at: new Date('2100-01-01'),
    })
    .execute()
  return token
}

/** Enrolled on `server`, or on a new one, and connected. */
export const restoringAgent = async (
  world: ReadingWorld,
  parts: AgentParts,
  server?: ServerId,
): Promise<RestoringAgent> => {
  const secret = systemRandom(32)
  const signing = makeSigningKey(systemRandom(32))
  const boxKey = Buffer.from(boxPublicKey(secret)).toString('base64url')
  const agent = await directAgent(
    parts,
    {
      organization: world.organization,
      addServer: async () => server ?? addServer(world),
      addToken: async (of) => addToken(world, of),
    },
    { signing, boxKey },
  )
  return { ...agent, secret }
}

export const never = new AbortController().signal

/** Asks for a restore over the API; its id. */
export const askRestore = async (
  { api }: ReadingWorld,
  backup: string,
  body: object = {},
): Promise<string> => {
  const answer = await api.call('POST', `/v1/backups/${backup}/restore`, { body })
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
  return String(dataOf(answer)['id'])
}

/** The same, offered to the agent and accepted. */
export const startRestoring = async (
  world: ReadingWorld,
  [parts, agent]: readonly [AgentParts, RestoringAgent],
  [backup, body = {}]: readonly [string, object?],
): Promise<RestoreStart> => {
  await askRestore(world, backup, {
    compute: { type: 'agent', server_id: agent.server },
    target_path: `/restored/${newId()}`,
    ...body,
  })
  await dispatchRestores(parts, never)
  const start = agent.last('restore.start')
  await agent.tell({ type: 'restore.accepted', run: start.run, epoch: start.epoch })
  return start
}

export const COUNTS = { files: 2, directories: 1, others: 0, skipped: 0, failed: 0 }
export const AMOUNTS = { counts: COUNTS, bytes_restored: 30_000, bytes_fetched: 4000 }

export const runOf = ({
  run,
  epoch,
}: {
  run: string
  epoch: number
}): {
  run: string
  epoch: number
} => ({ run, epoch })

export const codeOf = (order: { type: string }): string => must(order, 'failed').problem.code

/** A restore as the API shows it. */
export const shown = async ({ api }: ReadingWorld, id: string): Promise<Record<string, unknown>> =>
  dataOf(await api.call('GET', `/v1/restores/${id}`))

/** Numbers of what a backup uses, ascending. */
export const numbersOf = async (
  { api, organization }: ReadingWorld,
  backup: BackupId,
): Promise<readonly { readonly no: number; readonly kind: string }[]> => {
  const { reading } = api.agents
  const committed = await reading.committed({ organization, project: null }, backup)
  const rows = await reading.packsOf(committed!, 0, 1000)
  return rows.map((row) => ({ no: row.no, kind: row.class }))
}

/** Lets go of a restore that a test has started, however far it is. */
export const letGo = async (
  { api }: ReadingWorld,
  agent: RestoringAgent,
  id: string,
): Promise<void> => {
  await agent.beat()
  await api.call('POST', `/v1/restores/${id}/cancel`)
  await agent.beat()
}
