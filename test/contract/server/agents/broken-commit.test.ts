import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemRandom } from '#server/io/random.ts'
import { settleLeases } from '#server/flow/settle-leases.ts'
import type { BackupId } from '#shared/ids.ts'
import { SECOND } from '#shared/units.ts'
import {
  ageObject,
  FINISH,
  must,
  upload,
  wantedOf,
  writeBackup,
} from '../../../support/agent-plane.ts'
import { type World } from '../../../support/agent-world.ts'
import { type TestDatabase } from '../../../support/database-template.ts'
import { type DirectAgent, startOpen, statusOf } from '../../../support/direct-agent.ts'
import { putGranted } from '../../../support/scripted-agent.ts'

import {
  type Bench,
  finishOf,
  openRefs,
  runOf,
  stage,
  startBench,
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
    await stage(agent, start, ['whole', [[numbers.first, 5]]])
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
    await stage(agent, start, ['whole', []])
    await agent.reconnect()
    await agent.beat()
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'failed', sequence: null })
    expect(await openRefs(bench, start.job)).toEqual([])
  })

  test('whose record is no age file is over, not stuck', async () => {
    const start = await startOpen(parts, world, agent)
    await stage(agent, start, ['whole', []])
    const record = { class: 'record', no: 1, bytes: systemRandom(300), header: '' } as const
    const { grants } = must(
      await agent.ask({ type: 'grants.request', ...runOf(start), objects: [wantedOf(record)] }),
      'grants.given',
    )
    await putGranted(grants[0]!, record.bytes)
    await agent.reconnect()
    await agent.beat()
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'failed', sequence: null })
  })

  test('leaves no record in the bucket that could be taken for a backup', async () => {
    const start = await startOpen(parts, world, agent)
    await writeBackup(agent, start)
    const store = await parts.stores.open(world.storage)
    const records = async (): Promise<string[]> => {
      const all = await Array.fromAsync(store.list(`vaults/${start.vault.id}/backups/`, stop))
      return all.filter((key) => key.includes(start.run))
    }
    expect(await records()).toHaveLength(1)
    const problem = { code: 'INTERNAL_AGENT', message: 'a \0 and half a \ud83d' }
    await agent.tell({ type: 'backup.ended', ...runOf(start), status: 'failed', problem })
    expect(await records()).toEqual([])
    expect(await statusOf(world, start.run)).toMatchObject({
      status: 'failed',
      error: { message: 'a \ufffd and half a \ufffd' },
    })
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
