import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { backupRun, step } from '#server/core/backup-machine.ts'
import { cancelRun } from '#server/flow/cancel-run.ts'
import { dispatchBackups } from '#server/flow/dispatch-runs.ts'
import { settleLeases } from '#server/flow/settle-leases.ts'
import { fail } from '#shared/errors.ts'
import type { BackupId } from '#shared/ids.ts'
import { HOUR, SECOND } from '#shared/units.ts'
import { agentPartsIn, makeWorld, type World } from '../../../support/agent-world.ts'
import { type TestDatabase, testDatabase } from '../../../support/database-template.ts'
import { type DirectAgent, directAgent, startRun, statusOf } from '../../../support/direct-agent.ts'

let database: TestDatabase
let world: World
let parts: ReturnType<typeof agentPartsIn>
let agent: DirectAgent
const stop = new AbortController().signal

beforeAll(async () => {
  database = await testDatabase()
  world = await makeWorld(database)
  parts = agentPartsIn(world)
  agent = await directAgent(parts, world)
})
afterAll(async () => {
  parts.close()
  await database.close()
})

const gone = async (): Promise<never> =>
  Promise.reject(fail('DATABASE_UNAVAILABLE', { problem: 'it is away' }))

const runOf = (start: { run: string; epoch: number }): { run: string; epoch: number } => ({
  run: start.run,
  epoch: start.epoch,
})

describe('a waiting backup', () => {
  test('goes to exactly one of the replicas that claim at once', async () => {
    const jobs = await Promise.all(
      Array.from({ length: 30 }, async () => world.addJob(agent.server)),
    )
    const backups = await Promise.all(jobs.map(async (job) => world.addBackup(job, agent.server)))
    const others = Array.from({ length: 4 }, () => agentPartsIn(world))
    const claim = async (by: typeof parts): Promise<readonly string[]> => {
      const held = await by.runs.claim('backup', [agent.link()], 10, (run, link, now) =>
        step(run, {
          kind: 'dispatched',
          lease: { link: link.joins, until: now + HOUR },
          deadline: now + HOUR,
        }),
      )
      return held.map(({ of }) => of.id)
    }
    const claimed: string[] = []
    for (let round = 0; round < 3; round += 1)
      claimed.push(...(await Promise.all([parts, ...others].map(claim))).flat())
    expect(claimed).toHaveLength(30)
    expect(new Set(claimed)).toEqual(new Set(backups))
    await agent.beat()
    await agent.reconnect()
    for (const backup of backups)
      await parts.runs.change(backupRun(backup), (run) =>
        step(run, {
          kind: 'ended',
          epoch: run.epoch,
          status: 'failed',
          problem: { code: 'CANCELED', message: 'the test is over' },
        }),
      )
    for (const other of others) other.close()
  })

  test('is offered to the newest connection of its own server only', async () => {
    const backup = await world.addBackup(await world.addJob(agent.server), agent.server)
    const stale = { ...agent.link(), joins: agent.link().joins - 1 }
    const elsewhere = await directAgent(agentPartsIn(world), world)
    for (const link of [stale, elsewhere.link()])
      expect(
        await parts.runs.claim('backup', [link], 10, () => {
          throw new Error('not theirs')
        }),
      ).toEqual([])
    await dispatchBackups(parts, stop)
    expect(agent.last('backup.start')).toMatchObject({ run: backup, epoch: 1 })
    await agent.tell({
      type: 'backup.refused',
      run: backup,
      epoch: 1,
      problem: { code: 'RECIPIENTS_NOT_PINNED', message: 'not pinned' },
    })
    expect(await statusOf(world, backup)).toMatchObject({
      status: 'failed',
      error: { code: 'RECIPIENTS_NOT_PINNED', message: 'not pinned' },
    })
  })

  test('is canceled at once', async () => {
    const backup = await world.addBackup(await world.addJob(agent.server), agent.server)
    await cancelRun(parts, backupRun(backup), agent.server)
    expect(await statusOf(world, backup)).toMatchObject({ status: 'canceled' })
    expect(await dispatchBackups(parts, stop)).toBe(0)
  })

  test('that nobody can be given fails with the reason', async () => {
    const job = await world.addJob(agent.server)
    const backup = await world.addBackup(job, agent.server)
    await database.db
      .updateTable('job_versions')
      .set({ sources: [{ type: 'unheard of' }] as never })
      .where('job_id', '=', job)
      .execute()
    await dispatchBackups(parts, stop)
    expect(await statusOf(world, backup)).toMatchObject({
      status: 'failed',
      error: { code: 'VALIDATION_FAILED' },
    })
  })
})

describe('a running backup', () => {
  test('keeps its epoch while heartbeats renew its lease', async () => {
    const start = await startRun(parts, world, agent)
    for (let beat = 0; beat < 3; beat += 1) {
      await database.advanceClock(40 * SECOND)
      await settleLeases(parts, stop)
      const { renewed, lost } = await agent.beat(runOf(start))
      expect([renewed, lost]).toEqual([[{ ...runOf(start), lease_seconds: 45 }], []])
    }
    const end = {
      type: 'backup.ended',
      ...runOf(start),
      status: 'failed',
      problem: { code: 'SOURCE_UNREADABLE', message: 'the disk is gone' },
    } as const
    expect(await agent.ask(end)).toMatchObject({ type: 'backup.settled', run: start.run })
    expect(await statusOf(world, start.run)).toMatchObject({
      status: 'failed',
      error: { code: 'SOURCE_UNREADABLE' },
    })
    // Its answer may have been lost: whatever it says again, under any epoch, changes nothing.
    const again = { ...end, epoch: start.epoch + 3, problem: { code: 'CANCELED', message: 'x' } }
    expect(await agent.ask(again)).toMatchObject({ type: 'backup.settled' })
    expect(await statusOf(world, start.run)).toMatchObject({
      status: 'failed',
      error: { code: 'SOURCE_UNREADABLE' },
    })
    expect((await agent.beat(runOf(start))).lost).toEqual([start.run])
  })

  test('is detached when its lease runs out, and goes on under a new epoch when it is presented', async () => {
    const start = await startRun(parts, world, agent)
    await database.advanceClock(46 * SECOND)
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'running', lease_epoch: 1 })
    await agent.reconnect()
    expect((await agent.beat(runOf(start))).renewed).toMatchObject([{ run: start.run, epoch: 2 }])
    const report = { type: 'numbers.request', run: start.run, count: 1 } as const
    expect(await agent.ask({ ...report, epoch: 1 })).toMatchObject({
      problem: { code: 'LEASE_LOST' },
    })
    expect(await agent.ask({ ...report, epoch: 2 })).toMatchObject({ type: 'numbers.given' })
    // The answer with the new epoch can get lost: the agent presents what it knows, and is told again.
    expect((await agent.beat(runOf(start))).renewed).toMatchObject([{ run: start.run, epoch: 2 }])
  })

  test('is failed by its absence from a heartbeat, and its job can run again', async () => {
    const job = await world.addJob(agent.server)
    const start = await startRun(parts, world, agent, job)
    await agent.reconnect()
    await agent.beat()
    expect(await statusOf(world, start.run)).toMatchObject({
      status: 'failed',
      error: { code: 'RUN_LOST' },
    })
    expect((await startRun(parts, world, agent, job)).run).not.toBe(start.run)
    await agent.beat()
  })

  test('whose offer never arrived is offered again on the next connection', async () => {
    const backup = await world.addBackup(await world.addJob(agent.server), agent.server)
    await dispatchBackups(parts, stop)
    expect(agent.last('backup.start')).toMatchObject({ run: backup, epoch: 1 })
    expect(await dispatchBackups(parts, stop)).toBe(0)
    await agent.reconnect()
    expect(await dispatchBackups(parts, stop)).toBe(1)
    expect(agent.last('backup.start')).toMatchObject({ run: backup, epoch: 2 })
    await agent.tell({ type: 'backup.accepted', run: backup, epoch: 2 })
    await agent.beat()
  })

  test('whose offer was never made is offered after the next heartbeat', async () => {
    const backup = await world.addBackup(await world.addJob(agent.server), agent.server)
    // As where the database goes away between the claim and the order.
    const lost = { ...parts, runs: { ...parts.runs, brief: async () => gone() } }
    await dispatchBackups(lost, stop)
    expect(await statusOf(world, backup)).toMatchObject({ status: 'running' })
    expect(await dispatchBackups(parts, stop)).toBe(0)
    await agent.beat()
    expect(await statusOf(world, backup)).toMatchObject({ status: 'running' })
    expect(await dispatchBackups(parts, stop)).toBe(1)
    expect(agent.last('backup.start')).toMatchObject({ run: backup, epoch: 2 })
    await agent.tell({ type: 'backup.accepted', run: backup, epoch: 2 })
    expect(await statusOf(world, backup)).toMatchObject({ status: 'running' })
  })

  test('fails at its deadline whatever its agent says', async () => {
    const start = await startRun(parts, world, agent)
    await database.advanceClock(23 * HOUR)
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'running' })
    await database.advanceClock(HOUR)
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({
      status: 'failed',
      error: { code: 'RUN_TOO_LONG' },
    })
    expect((await agent.beat(runOf(start))).lost).toEqual([start.run])
  })

  test('is canceled through its agent, which is reminded with every heartbeat', async () => {
    const start = await startRun(parts, world, agent)
    await cancelRun(parts, backupRun(start.run as BackupId), agent.server)
    expect(agent.last('backup.cancel')).toMatchObject(runOf(start))
    await agent.reconnect()
    await agent.beat(runOf(start))
    expect(agent.last('backup.cancel')).toMatchObject({ run: start.run, epoch: 2 })
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'running' })
    await agent.tell({
      type: 'backup.ended',
      run: start.run,
      epoch: 2,
      status: 'canceled',
      problem: { code: 'CANCELED', message: 'as asked' },
    })
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'canceled' })
  })

  test('keeps its progress, what its agent says, and what became of it', async () => {
    const start = await startRun(parts, world, agent)
    const counts = {
      files: 3,
      directories: 1,
      others: 0,
      changed: 1,
      unchanged: 2,
      skipped: 0,
      errors: 0,
    }
    const bytes = { bytes_source: 5, bytes_read: 4, bytes_new: 3, bytes_stored: 2 }
    await agent.tell({ type: 'progress', ...runOf(start), phase: 'scanning', counts, ...bytes })
    for (const message of ['one', 'two'])
      await agent.tell({ type: 'log', ...runOf(start), level: 'warn', message })
    await agent.beat()
    const row = await database.db
      .selectFrom('backups')
      .select(['phase', 'progress'])
      .where('id', '=', start.run as BackupId)
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({ phase: 'scanning', progress: { counts, ...bytes } })
    const lines = await database.db
      .selectFrom('backup_logs')
      .select(['seq', 'level', 'message'])
      .where('backup_id', '=', start.run as BackupId)
      .orderBy('seq')
      .execute()
    expect(lines).toEqual([
      { seq: 1, level: 'info', message: 'Offered to the agent.' },
      { seq: 2, level: 'info', message: 'The agent works on it.' },
      { seq: 3, level: 'warn', message: 'one' },
      { seq: 4, level: 'warn', message: 'two' },
      { seq: 5, level: 'error', message: expect.stringContaining('no longer works on') as unknown },
    ])
    const events = await database.db
      .selectFrom('backup_events')
      .select(['seq', 'type', 'body'])
      .where('backup_id', '=', start.run as BackupId)
      .orderBy('seq')
      .execute()
    expect(events.map(({ body }) => body['status'])).toEqual(['running', 'failed'])
  })
})
