/** A direct agent with everything that a commit needs, and the steps of a commit one by one. */
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import type { JobId } from '#shared/ids.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { ageObject, FINISH, must, upload } from './agent-plane.ts'
import { agentPartsIn, makeWorld, type World } from './agent-world.ts'
import { type TestDatabase, testDatabase } from './database-template.ts'
import { type DirectAgent, directAgent } from './direct-agent.ts'
import { startS3, type TestS3 } from './s3-server.ts'
import type { ScriptedAgent, Unsent } from './scripted-agent.ts'

export type Bench = {
  readonly database: TestDatabase
  readonly s3: TestS3
  readonly world: World
  readonly parts: ReturnType<typeof agentPartsIn>
  readonly agent: DirectAgent
  close(): Promise<void>
}

export const startBench = async (): Promise<Bench> => {
  const database = await testDatabase()
  const s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket: 'vaults' }))
  const world = await makeWorld(database, s3.endpoint)
  const parts = agentPartsIn(world)
  return {
    database,
    s3,
    world,
    parts,
    agent: await directAgent(parts, world),
    close: async () => {
      parts.close()
      await s3.close()
      await database.close()
    },
  }
}

type Asks = Pick<ScriptedAgent, 'ask'>

export const runOf = (start: BackupStart): { run: string; epoch: number } => ({
  run: start.run,
  epoch: start.epoch,
})

export const finishOf = (start: BackupStart): Unsent => ({
  type: 'commit.finish',
  ...runOf(start),
  sequence: start.sequence,
  ...FINISH,
})

export const stage = async (
  agent: Asks,
  start: BackupStart,
  [kind, packs]: readonly ['changes' | 'whole', readonly (readonly [number, number])[]],
): Promise<void> => {
  const page = { type: 'commit.page', ...runOf(start), page: 0, of: 1, kind } as const
  must(
    await agent.ask({ ...page, packs: packs.map(([no, live]): [number, number] => [no, live]) }),
    'commit.taken',
  )
}

export const writeRecord = async (agent: Asks, start: BackupStart): Promise<void> => {
  await upload(agent, runOf(start), [
    ageObject('record', start.sequence, start.vault.recipients.content),
  ])
}

/** Open intervals of a job: pack, first sequence, live bytes. */
export const openRefs = async (
  { database }: Bench,
  job: string,
): Promise<readonly (readonly [number, number, number])[]> => {
  const rows = await database.db
    .selectFrom('pack_refs')
    .select(['pack_no', 'from_seq', 'live_bytes'])
    .where('job_id', '=', job as JobId)
    .where('to_seq', 'is', null)
    .orderBy('pack_no')
    .execute()
  return rows.map((row) => [row.pack_no, row.from_seq, row.live_bytes])
}
