import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { dispatchRestores } from '#server/flow/dispatch-runs.ts'
import { settleLeases } from '#server/flow/settle-leases.ts'
import { fail } from '#shared/errors.ts'
import type { BackupId } from '#shared/ids.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { DAY, HOUR } from '#shared/units.ts'
import { must } from '../../../support/agent-plane.ts'
import { dataOf, rowsOf } from '../../../support/answers.ts'
import {
  AMOUNTS,
  askRestore,
  codeOf,
  COUNTS,
  letGo,
  never,
  numbersOf,
  partsOf,
  restoringAgent,
  type RestoringAgent,
  runOf,
  shown,
  startRestoring,
} from '../../../support/restoring.ts'
import type { Unsent } from '../../../support/scripted-agent.ts'
import { type ReadingWorld, readingWorld, storeVault } from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'

let world: ReadingWorld
let parts: ReturnType<typeof partsOf>
let agent: RestoringAgent
let first: BackupId
let backup: BackupId

beforeAll(async () => {
  world = await readingWorld()
  parts = partsOf(world)
  const vault = await storeVault(world, { packTarget: 8192, chunk: 4096 })
  first = (await vault.backup([file('/gone', 'x'.repeat(9000))])).id
  backup = (
    await vault.backup([
      directory('/data'),
      file('/data/one', 'one'.repeat(5000)),
      file('/data/two', 'two'.repeat(5000)),
    ])
  ).id
  agent = await restoringAgent(world, parts)
})
afterAll(async () => world.close())

const start = async (body: object = {}): Promise<RestoreStart> =>
  startRestoring(world, [parts, agent], [backup, body])

describe('the end of a restore', () => {
  let order: RestoreStart
  const finish = (over: object = {}): Unsent => ({
    type: 'restore.finish',
    ...runOf(order),
    status: 'partial',
    ...AMOUNTS,
    ...over,
  })

  test('is the agent’s word, said as often as it likes', async () => {
    order = await start()
    const progress = { ...AMOUNTS, files_total: 2, bytes_total: 30_000 }
    await agent.tell({ type: 'restore.progress', ...runOf(order), phase: 'restoring', ...progress })
    expect(await shown(world, order.run)).toMatchObject({
      status: 'running',
      phase: 'restoring',
      counts: COUNTS,
      files_total: 2,
      bytes: { total: 30_000, restored: 30_000, fetched: 4000 },
    })
    const noted = { path: '/data/\0odd', outcome: 'failed', code: 'X', problem: 'no room' } as const
    await agent.tell({ type: 'restore.noted', ...runOf(order), files: [noted] })
    await agent.tell({ type: 'log', ...runOf(order), level: 'warn', message: 'a line' })
    for (const epoch of [order.epoch, order.epoch + 7])
      expect(await agent.ask(finish({ epoch }))).toMatchObject({ type: 'restore.settled' })
    expect(await agent.ask(finish({ status: 'completed' }))).toMatchObject({
      type: 'restore.settled',
    })
    expect(await shown(world, order.run)).toMatchObject({
      status: 'partial',
      phase: 'done',
      error: null,
      bytes: { restored: 30_000, fetched: 4000 },
    })
    const lines = rowsOf(await world.api.call('GET', `/v1/restores/${order.run}/logs`))
    expect(lines).toContainEqual(
      expect.objectContaining({
        level: 'error',
        message: '/data/\ufffdodd: failed: no room',
        fields: { path: '/data/\ufffdodd', outcome: 'failed', code: 'X' },
      }),
    )
    expect(lines).toContainEqual(expect.objectContaining({ level: 'warn', message: 'a line' }))
  })

  test('is presented until its answer is heard', async () => {
    expect((await agent.beat(runOf(order))).renewed).toMatchObject([{ run: order.run }])
  })

  test('can be a refusal, or a failure with its reason', async () => {
    order = await start()
    const problem = { code: 'CONFLICT', message: '/data/one exists' }
    const ended = { type: 'restore.ended', ...runOf(order), status: 'failed', problem, ...AMOUNTS }
    expect(await agent.ask(ended as Unsent)).toMatchObject({ type: 'restore.settled' })
    expect(await agent.ask(ended as Unsent)).toMatchObject({ type: 'restore.settled' })
    expect(await shown(world, order.run)).toMatchObject({ status: 'failed', error: problem })
    await agent.beat()

    const id = await askRestore(world, backup, {
      compute: { type: 'agent', server_id: agent.server },
      target_path: '/refused',
    })
    await dispatchRestores(parts, never)
    const refused = { code: 'NO_SUCH_CODE', message: 'not there' }
    await agent.tell({ type: 'restore.refused', run: id, epoch: 1, problem: refused })
    expect(await shown(world, id)).toMatchObject({
      status: 'failed',
      error: { code: 'INTERNAL_AGENT', message: 'not there' },
    })
  })
})

describe('a running restore', () => {
  let order: RestoreStart
  afterEach(async () => letGo(world, agent, order.run))

  test('goes on under a new epoch when its agent is back, whichever replica hears it', async () => {
    order = await start()
    await agent.reconnect()
    const leases = await agent.beat(runOf(order))
    expect(leases.renewed).toMatchObject([{ run: order.run, epoch: order.epoch + 1 }])
    const [pack] = await numbersOf(world, backup)
    const ask = { type: 'packs.request' as const, run: order.run, packs: [pack!.no] }
    expect(codeOf(await agent.ask({ ...ask, epoch: order.epoch }))).toBe('LEASE_LOST')
    must(await agent.ask({ ...ask, epoch: order.epoch + 1 }), 'packs.opened')
  })

  test('is detached while it is not heard of, and nothing is lost', async () => {
    order = await start()
    await world.database.advanceClock(HOUR)
    await settleLeases(parts, never)
    expect(await shown(world, order.run)).toMatchObject({ status: 'running' })
    const leases = await agent.beat(runOf(order))
    expect(leases.renewed).toMatchObject([{ run: order.run, epoch: order.epoch + 1 }])
  })

  test('is lost when its agent does not list it any more', async () => {
    order = await start()
    await agent.beat()
    expect(await shown(world, order.run)).toMatchObject({
      status: 'failed',
      error: { code: 'RUN_LOST' },
    })
    expect((await agent.beat(runOf(order))).lost).toEqual([order.run])
  })

  test('fails at its deadline', async () => {
    order = await start()
    await world.database.advanceClock(DAY)
    await settleLeases(parts, never)
    expect(await shown(world, order.run)).toMatchObject({ error: { code: 'RUN_TOO_LONG' } })
  })

  test('is canceled through its agent, which is reminded with every heartbeat', async () => {
    order = await start()
    const canceled = await world.api.call('POST', `/v1/restores/${order.run}/cancel`)
    expect(dataOf(canceled)).toMatchObject({ status: 'running' })
    expect(agent.last('restore.cancel')).toMatchObject(runOf(order))
    await agent.reconnect()
    await agent.beat(runOf(order))
    expect(agent.last('restore.cancel')).toMatchObject({ run: order.run, epoch: order.epoch + 1 })
    const ended = await agent.ask({
      type: 'restore.ended',
      run: order.run,
      epoch: order.epoch + 1,
      status: 'canceled',
      problem: { code: 'CANCELED', message: 'as asked' },
      ...AMOUNTS,
    })
    must(ended, 'restore.settled')
    expect(await shown(world, order.run)).toMatchObject({ status: 'canceled', counts: COUNTS })
  })

  test('stands beside backups in one heartbeat, and strangers are lost', async () => {
    order = await start()
    const stranger = { run: first as string, epoch: 1 }
    const leases = await agent.beat(runOf(order), stranger)
    expect(leases.renewed.map(({ run }) => run)).toEqual([order.run])
    expect(leases.lost).toEqual([first])
  })
})

describe('a restore that cannot be offered', () => {
  test('for good fails with the reason', async () => {
    const id = await askRestore(world, first, {
      compute: { type: 'agent', server_id: agent.server },
      target_path: '/deleted',
    })
    const { db } = world.database
    const deleted = async (at: Date | null): Promise<unknown> =>
      db.updateTable('backups').set({ deleted_at: at }).where('id', '=', first).execute()
    await deleted(new Date())
    await dispatchRestores(parts, never)
    await deleted(null)
    expect(await shown(world, id)).toMatchObject({
      status: 'failed',
      error: { code: 'RESOURCE_NOT_FOUND' },
    })
  })

  test('now is offered again when its lease is over', async () => {
    const other = await restoringAgent(world, parts)
    const id = await askRestore(world, backup, {
      compute: { type: 'agent', server_id: other.server },
      target_path: '/later',
    })
    const unavailable = fail('STORAGE_UNAVAILABLE', { storage: 'x', verb: 'get', problem: 'no' })
    const broken = { ...parts, stores: { open: async () => Promise.reject(unavailable) } }
    await dispatchRestores(broken, never)
    expect(other.orders.filter(({ type }) => type === 'restore.start')).toEqual([])
    expect(await shown(world, id)).toMatchObject({ status: 'running' })
    await world.database.advanceClock(HOUR)
    await settleLeases(parts, never)
    await dispatchRestores(parts, never)
    expect(other.last('restore.start')).toMatchObject({ run: id, epoch: 2 })
  })
})
