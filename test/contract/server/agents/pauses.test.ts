import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { backupRun, step } from '#server/core/backup-machine.ts'
import { dispatchBackups } from '#server/flow/dispatch-runs.ts'
import { settleLeases } from '#server/flow/settle-leases.ts'
import type { BackupId } from '#shared/ids.ts'
import { DAY, HOUR } from '#shared/units.ts'
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

const runOf = (start: { run: string; epoch: number }): { run: string; epoch: number } => ({
  run: start.run,
  epoch: start.epoch,
})

describe('a running backup', () => {
  test('that is paused stays so whatever becomes of its agent, and goes on when it is resumed', async () => {
    const start = await startRun(parts, world, agent)
    const of = backupRun(start.run as BackupId)
    await parts.runs.change(of, (run, now) => step(run, { kind: 'pause', now, until: now + DAY }))
    expect(await agent.beat(runOf(start))).toMatchObject({
      renewed: [{ epoch: 1, paused: true }],
      limits: { upload_limit: null },
      priority: 'low',
    })
    // Its deadline stands still, it may be detached and presented, and its agent may lose it altogether.
    await database.advanceClock(23 * HOUR)
    await settleLeases(parts, stop)
    await agent.reconnect()
    expect((await agent.beat(runOf(start))).renewed).toMatchObject([{ epoch: 2, paused: true }])
    await agent.reconnect()
    await agent.beat()
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'running' })
    expect(await dispatchBackups(parts, stop)).toBe(0)
    await parts.runs.change(of, (run, now) => step(run, { kind: 'resume', now }))
    await settleLeases(parts, stop)
    expect(await dispatchBackups(parts, stop)).toBe(1)
    expect(agent.last('backup.start')).toMatchObject({ run: start.run, epoch: 3 })
    await agent.tell({ type: 'backup.accepted', run: start.run, epoch: 3 })
    const { renewed } = await agent.beat({ run: start.run, epoch: 3 })
    expect(renewed).toEqual([{ run: start.run, epoch: 3, lease_seconds: 45 }])
    // All of its day is left, but for the moments before the pause.
    await database.advanceClock(23 * HOUR)
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({ status: 'running' })
    await database.advanceClock(HOUR)
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({ error: { code: 'RUN_TOO_LONG' } })
  })

  test('that is paused for too long fails', async () => {
    const start = await startRun(parts, world, agent)
    await parts.runs.change(backupRun(start.run as BackupId), (run, now) =>
      step(run, { kind: 'pause', now, until: now + 2 * DAY }),
    )
    await database.advanceClock(2 * DAY)
    await settleLeases(parts, stop)
    expect(await statusOf(world, start.run)).toMatchObject({
      status: 'failed',
      error: { code: 'PAUSED_TOO_LONG' },
    })
    await agent.beat()
  })
})
