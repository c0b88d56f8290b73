import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { settleLeases } from '#server/flow/settle-leases.ts'
import { takeReport } from '#server/flow/take-report.ts'
import type { BackupId, JobId, VaultId } from '#shared/ids.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { SECOND } from '#shared/units.ts'
import {
  ageObject,
  FINISH,
  must,
  upload,
  wantedOf,
  writeBackup,
} from '../../../support/agent-plane.ts'
import { agentPartsIn, id, makeWorld, type World } from '../../../support/agent-world.ts'
import { type TestDatabase, testDatabase } from '../../../support/database-template.ts'
import {
  type DirectAgent,
  directAgent,
  startOpen,
  startRun,
  statusOf,
} from '../../../support/direct-agent.ts'
import { startS3, type TestS3 } from '../../../support/s3-server.ts'
import { putGranted, type Unsent } from '../../../support/scripted-agent.ts'

let database: TestDatabase
let s3: TestS3
let world: World
let parts: ReturnType<typeof agentPartsIn>
let agent: DirectAgent
const stop = new AbortController().signal

beforeAll(async () => {
  database = await testDatabase()
  s3 = await startS3()
  await s3.client().send(new CreateBucketCommand({ Bucket: 'vaults' }))
  world = await makeWorld(database, s3.endpoint)
  parts = agentPartsIn(world)
  agent = await directAgent(parts, world)
})
afterAll(async () => {
  parts.close()
  await s3.close()
  await database.close()
})

const runOf = (start: BackupStart): { run: string; epoch: number } => ({
  run: start.run,
  epoch: start.epoch,
})
const finishOf = (start: BackupStart): Unsent => ({
  type: 'commit.finish',
  ...runOf(start),
  sequence: start.sequence,
  ...FINISH,
})

const packRow = async (vault: string, no: number): Promise<{ state: string; object_key: string }> =>
  database.db
    .selectFrom('packs')
    .select(['state', 'object_key'])
    .where('vault_id', '=', vault as VaultId)
    .where('pack_no', '=', no)
    .executeTakeFirstOrThrow()

const openRefs = async (job: string): Promise<readonly (readonly [number, number, number])[]> => {
  const rows = await database.db
    .selectFrom('pack_refs')
    .select(['pack_no', 'from_seq', 'live_bytes'])
    .where('job_id', '=', job as JobId)
    .where('to_seq', 'is', null)
    .orderBy('pack_no')
    .execute()
  return rows.map((row) => [row.pack_no, row.from_seq, row.live_bytes])
}

const stage = async (
  start: BackupStart,
  kind: 'changes' | 'whole',
  packs: readonly (readonly [number, number])[],
): Promise<void> => {
  const page = { type: 'commit.page', ...runOf(start), page: 0, of: 1, kind } as const
  must(await agent.ask({ ...page, packs: packs.map(([no, live]) => [no, live]) }), 'commit.taken')
}

const writeRecord = async (start: BackupStart): Promise<void> => {
  await upload(agent, runOf(start), [
    ageObject('record', start.sequence, start.vault.recipients.content),
  ])
}

describe('a commit', () => {
  test('that two replicas are asked for at once happens once, and both give its answer', async () => {
    const start = await startOpen(parts, world, agent)
    const { packs } = await writeBackup(agent, start)
    const other = agentPartsIn(world)
    const asked = Array.from({ length: 8 }, async (_, n) => {
      const report = { ...finishOf(start), id: id<'message'>() } as Parameters<
        typeof takeReport
      >[1][1]
      return takeReport(n % 2 === 0 ? parts : other, [agent.link(), report], stop)
    })
    for (const answer of await Promise.all(asked))
      expect(answer).toMatchObject({ type: 'commit.done', sequence: 1 })
    expect(await openRefs(start.job)).toEqual(packs.map((no) => [no, 1, 400]))
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'completed', sequence: 1 })
    other.close()
  })

  test('costs rows only for what changed, and gives back what each backup used', async () => {
    const job = await world.addJob(agent.server)
    const first = await startOpen(parts, world, agent, job)
    const { packs } = await writeBackup(agent, first, 3)
    must(await agent.ask(finishOf(first)), 'commit.done')
    const [a = 0, b = 0, c = 0, tree = 0] = packs
    const second = await startOpen(parts, world, agent, job)
    await stage(second, 'changes', [
      [a, 0],
      [b, 77],
    ])
    await writeRecord(second)
    must(await agent.ask(finishOf(second)), 'commit.done')
    expect(await openRefs(job)).toEqual([
      [b, 2, 77],
      [c, 1, 400],
      [tree, 1, 400],
    ])
    const ended = await sql<{ pack_no: number; to_seq: number }>`
      select pack_no, to_seq from pack_refs where job_id = ${job} and to_seq is not null order by pack_no`.execute(
      database.db,
    )
    expect(ended.rows).toEqual([
      { pack_no: a, to_seq: 2 },
      { pack_no: b, to_seq: 2 },
    ])
  })

  test('is refused before its pages, its record and its vault are complete', async () => {
    const fresh = await directAgent(parts, world)
    const start = await startRun(parts, world, fresh)
    const problemOf = async (report: Unsent): Promise<unknown> =>
      must(await fresh.ask(report), 'failed').problem.details?.['problem']
    expect(await problemOf(finishOf(start))).toBe('the vault is not open')
    const open = await startOpen(parts, world, agent)
    const inOpen = async (): Promise<unknown> =>
      must(await agent.ask(finishOf(open)), 'failed').problem.details?.['problem']
    expect(await inOpen()).toBe('the pages of the commit are not all there')
    await stage(open, 'whole', [])
    expect(await inOpen()).toBe('there is no record')
    const record = ageObject('record', 1, open.vault.recipients.content)
    const { grants } = must(
      await agent.ask({ type: 'grants.request', ...runOf(open), objects: [wantedOf(record)] }),
      'grants.given',
    )
    await putGranted(grants[0]!, record.bytes)
    expect(await inOpen()).toBe('the record is not reported as stored')
    expect(await statusOf(world, open.run)).toMatchObject({ status: 'running', sequence: null })
    await agent.beat()
  })

  test('revives a pack that was condemned meanwhile', async () => {
    const start = await startOpen(parts, world, agent)
    const { packs } = await writeBackup(agent, start)
    const [first = 0] = packs
    await sql`update packs set state = 'condemned', condemned_at = hf_now(), condemned_epoch = 1
      where vault_id = ${start.vault.id} and pack_no = ${first}`.execute(database.db)
    must(await agent.ask(finishOf(start)), 'commit.done')
    expect(await packRow(start.vault.id, first)).toMatchObject({ state: 'stored' })
  })

  test('names the packs that the store has lost, and can be made again with fresh ones', async () => {
    const job = await world.addJob(agent.server)
    const start = await startOpen(parts, world, agent, job)
    const { packs } = await writeBackup(agent, start)
    const [first = 0, second = 0] = packs
    const store = await parts.stores.open(world.storage)
    await store.remove([(await packRow(start.vault.id, first)).object_key], stop)
    const missing = must(await agent.ask(finishOf(start)), 'commit.missing')
    expect(missing.packs).toEqual([first])
    expect(await packRow(start.vault.id, first)).toMatchObject({ state: 'deleted' })
    const records = await Array.fromAsync(store.list(`vaults/${start.vault.id}/backups/`, stop))
    expect(records.filter((key) => key.includes(start.run))).toEqual([])
    const again = await writeBackup(agent, start, 1)
    await stage(
      start,
      'whole',
      [second, ...again.packs].map((no) => [no, 5]),
    )
    await writeRecord(start)
    must(await agent.ask(finishOf(start)), 'commit.done')
    // The next run is told what is gone: nothing of it may be counted on.
    const next = await startOpen(parts, world, agent, await world.addJob(agent.server))
    expect(next.gone).toContain(first)
    await agent.beat()
  })

  test('may use packs that a failed run has stored', async () => {
    const start = await startOpen(parts, world, agent)
    const { packs } = await writeBackup(agent, start)
    const problem = { code: 'SOURCE_UNREADABLE', message: 'gone' }
    await agent.tell({ type: 'backup.ended', ...runOf(start), status: 'failed', problem })
    const next = await startOpen(parts, world, agent, start.job as JobId)
    expect(next.sequence).toBe(1)
    await stage(
      next,
      'whole',
      packs.map((no) => [no, 9]),
    )
    await writeRecord(next)
    must(await agent.ask(finishOf(next)), 'commit.done')
    expect(await openRefs(start.job)).toEqual(packs.map((no) => [no, 1, 9]))
  })

  test('cannot use packs of another vault', async () => {
    const other = await directAgent(parts, world)
    const theirs = await startOpen(parts, world, other)
    const { packs } = await writeBackup(other, theirs)
    const start = await startOpen(parts, world, agent)
    const foreign = Math.max(...packs) + 2 ** 20
    await sql`update packs set pack_no = ${foreign} where vault_id = ${theirs.vault.id} and pack_no = ${packs[0]!}`.execute(
      database.db,
    )
    await stage(start, 'whole', [[foreign, 1]])
    await writeRecord(start)
    expect(must(await agent.ask(finishOf(start)), 'commit.missing').packs).toEqual([foreign])
    await agent.beat()
  })

  test('of several jobs at once over the same packs neither waits for ever nor loses anything', async () => {
    const first = await startOpen(parts, world, agent)
    const { packs } = await writeBackup(agent, first, 6)
    must(await agent.ask(finishOf(first)), 'commit.done')
    const starts: BackupStart[] = []
    for (let n = 0; n < 4; n += 1) {
      const start = await startOpen(parts, world, agent)
      const order = n % 2 === 0 ? packs : packs.toReversed()
      await stage(
        start,
        'whole',
        order.map((no) => [no, n + 1]),
      )
      await writeRecord(start)
      starts.push(start)
    }
    const answers = await Promise.all(starts.map(async (start) => agent.ask(finishOf(start))))
    for (const answer of answers) must(answer, 'commit.done')
    for (const [n, start] of starts.entries())
      expect(await openRefs(start.job)).toEqual(
        [...packs].sort((a, b) => a - b).map((no) => [no, 1, n + 1]),
      )
  })
})

describe('a commit that was broken off', () => {
  test('after the record was put is finished when its agent is gone', async () => {
    const start = await startOpen(parts, world, agent)
    const numbers = must(
      await agent.ask({ type: 'numbers.request', ...runOf(start), count: 1 }),
      'numbers.given',
    )
    await upload(agent, runOf(start), [
      ageObject('pack', numbers.first, start.vault.recipients.content),
    ])
    await stage(start, 'whole', [[numbers.first, 5]])
    const record = ageObject('record', 1, start.vault.recipients.content)
    const { grants } = must(
      await agent.ask({ type: 'grants.request', ...runOf(start), objects: [wantedOf(record)] }),
      'grants.given',
    )
    await putGranted(grants[0]!, record.bytes)
    await agent.reconnect()
    await agent.beat()
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'completed', sequence: 1 })
    const { record_header } = await database.db
      .selectFrom('backups')
      .select('record_header')
      .where('id', '=', start.run as BackupId)
      .executeTakeFirstOrThrow()
    expect(Buffer.from(record_header!).toString('base64url')).toBe(record.header)
  })

  test('between the record and the transaction is finished with what the agent said, and the agent is told', async () => {
    const start = await startOpen(parts, world, agent)
    await writeBackup(agent, start)
    const { sequence: _, ...finish } = { sequence: 1, ...FINISH, error_count: 2 }
    expect(_).toBe(1)
    await parts.commits.finishing(start.run as BackupId, start.epoch, finish)
    await database.advanceClock(46 * SECOND)
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'partial', sequence: 1 })
    await agent.reconnect()
    expect((await agent.beat(runOf(start))).renewed).toMatchObject([{ run: start.run }])
    expect(await agent.ask(finishOf(start))).toMatchObject({ type: 'commit.done', sequence: 1 })
  })

  test('before its record is no backup', async () => {
    const start = await startOpen(parts, world, agent)
    await stage(start, 'whole', [])
    await agent.reconnect()
    await agent.beat()
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'failed', sequence: null })
    expect(await openRefs(start.job)).toEqual([])
  })

  test('is not finished when it was canceled', async () => {
    const start = await startOpen(parts, world, agent)
    await writeBackup(agent, start)
    await database.db
      .updateTable('backups')
      .set({ cancel_requested_at: sql<Date>`hf_now()` })
      .where('id', '=', start.run as BackupId)
      .execute()
    await agent.reconnect()
    await agent.beat()
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'canceled', sequence: null })
  })
})
