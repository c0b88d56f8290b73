import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { takeReport } from '#server/flow/take-report.ts'
import type { JobId, VaultId } from '#shared/ids.ts'
import type { BackupStart } from '#shared/protocol/orders.ts'
import { ageObject, must, wantedOf, writeBackup } from '../../../support/agent-plane.ts'
import { agentPartsIn, id, type World } from '../../../support/agent-world.ts'
import { type TestDatabase } from '../../../support/database-template.ts'
import {
  type DirectAgent,
  directAgent,
  startOpen,
  startRun,
  statusOf,
} from '../../../support/direct-agent.ts'
import { putGranted, type Unsent } from '../../../support/scripted-agent.ts'

import {
  type Bench,
  finishOf,
  openRefs,
  runOf,
  stage,
  startBench,
  writeRecord,
} from '../../../support/commit-bench.ts'
let bench: Bench
let database: TestDatabase
let world: World
let parts: Bench['parts']
let agent: DirectAgent
const stop = new AbortController().signal

beforeAll(async () => {
  bench = await startBench()
  ;({ database, world, parts, agent } = bench)
})
afterAll(async () => bench.close())

const packRow = async (vault: string, no: number): Promise<{ state: string; object_key: string }> =>
  database.db
    .selectFrom('packs')
    .select(['state', 'object_key'])
    .where('vault_id', '=', vault as VaultId)
    .where('pack_no', '=', no)
    .executeTakeFirstOrThrow()

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
    expect(await openRefs(bench, start.job)).toEqual(packs.map((no) => [no, 1, 400]))
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
    await stage(agent, second, [
      'changes',
      [
        [a, 0],
        [b, 77],
      ],
    ])
    await writeRecord(agent, second)
    must(await agent.ask(finishOf(second)), 'commit.done')
    expect(await openRefs(bench, job)).toEqual([
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
    await stage(agent, open, ['whole', []])
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
    await stage(agent, start, ['whole', [second, ...again.packs].map((no) => [no, 5])])
    await writeRecord(agent, start)
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
    await stage(agent, next, ['whole', packs.map((no) => [no, 9])])
    await writeRecord(agent, next)
    must(await agent.ask(finishOf(next)), 'commit.done')
    expect(await openRefs(bench, start.job)).toEqual(packs.map((no) => [no, 1, 9]))
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
    await stage(agent, start, ['whole', [[foreign, 1]]])
    await writeRecord(agent, start)
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
      await stage(agent, start, ['whole', order.map((no) => [no, n + 1])])
      await writeRecord(agent, start)
      starts.push(start)
    }
    const answers = await Promise.all(starts.map(async (start) => agent.ask(finishOf(start))))
    for (const answer of answers) must(answer, 'commit.done')
    for (const [n, start] of starts.entries())
      expect(await openRefs(bench, start.job)).toEqual(
        [...packs].sort((a, b) => a - b).map((no) => [no, 1, n + 1]),
      )
  })
})
