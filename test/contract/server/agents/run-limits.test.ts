import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Caller } from '#server/core/caller.ts'
import { revokeServer } from '#server/flow/end-server.ts'
import { settleLeases } from '#server/flow/settle-leases.ts'
import { systemClock } from '#server/io/clock.ts'
import { type Resources, resourcesIn } from '#server/io/db/resources.ts'
import { systemRandom } from '#server/io/random.ts'
import type { BackupId, JobId } from '#shared/ids.ts'
import { HOUR, MINUTE } from '#shared/units.ts'
import { agentPartsIn, id, makeWorld, type World } from '../../../support/agent-world.ts'
import { type TestDatabase, testDatabase } from '../../../support/database-template.ts'
import { directAgent, startRun, statusOf } from '../../../support/direct-agent.ts'

let database: TestDatabase
let world: World
let parts: ReturnType<typeof agentPartsIn>
let resources: Resources
let caller: Caller

beforeAll(async () => {
  database = await testDatabase()
  world = await makeWorld(database)
  parts = agentPartsIn(world)
  const sealed = { sealing: world.sealed, clock: systemClock, random: systemRandom }
  resources = resourcesIn(database.db, sealed)
  caller = {
    organization: world.organization,
    token: id<'token'>(),
    name: 'test',
    scopes: ['admin'],
    project: null,
    expiresAt: null,
  }
})
afterAll(async () => {
  parts.close()
  await database.close()
})

const start = async (job: JobId, version: number | null = null): Promise<BackupId> => {
  const more = { description: null, external_id: null, label: null, tags: [] }
  const outcome = await resources.backups.start(caller, { job, name: 'b', version, ...more })
  if (!('started' in outcome)) throw new Error('it runs already')
  return outcome.started
}

const stop = new AbortController().signal

describe('a run', () => {
  test('of a server that is revoked has failed; what waits goes on waiting', async () => {
    const agent = await directAgent(parts, world)
    const run = await startRun(parts, world, agent)
    const job = await world.addJob(agent.server)
    const waiting = await world.addBackup(job, agent.server)
    await revokeServer({ servers: resources.servers, agents: parts }, caller, agent.server)
    expect(await statusOf(world, run.run as never)).toMatchObject({
      status: 'failed',
      error: { code: 'AGENT_REVOKED' },
    })
    expect(await statusOf(world, waiting)).toMatchObject({ status: 'pending' })
    const late = await agent.tell({
      type: 'numbers.request',
      run: run.run,
      epoch: run.epoch,
      count: 1,
    })
    expect(late).toMatchObject({ type: 'failed', problem: { code: 'LEASE_LOST' } })
  })

  test('that takes longer than its job allows has failed, another has not', async () => {
    const agent = await directAgent(parts, world)
    const job = await world.addJob(agent.server)
    await resources.jobs.change(caller, job, { timeout: HOUR })
    const short = await start(job)
    const long = await start(await world.addJob(agent.server))
    await startRun(parts, world, agent)
    await database.advanceClock(HOUR - MINUTE)
    await settleLeases(parts, stop)
    expect(await statusOf(world, short)).toMatchObject({ status: 'running' })
    await database.advanceClock(2 * MINUTE)
    await settleLeases(parts, stop)
    expect(await statusOf(world, short)).toMatchObject({
      status: 'failed',
      error: { code: 'RUN_TOO_LONG' },
    })
    expect(await statusOf(world, long)).toMatchObject({ status: 'running' })
  })

  test('of an older version is offered what that one says, and its vault', async () => {
    const agent = await directAgent(parts, world)
    const job = await world.addJob(agent.server)
    const sources = [{ type: 'files' as const, paths: ['/elsewhere'] }]
    const { id: key } = await resources.keys.add(caller, { name: 'another', type: 'managed' })
    await resources.jobs.change(caller, job, { sources, key: key as never })
    const offered = async (version: number | null) => {
      const backup = await start(job, version)
      await startRun(parts, world, agent)
      const orders = agent.orders.filter((order) => order.type === 'backup.start')
      const order = orders.findLast(({ run }) => run === backup)!
      await agent.tell({
        type: 'backup.refused',
        run: order.run,
        epoch: order.epoch,
        problem: { code: 'CANCELED', message: 'enough' },
      })
      return order
    }
    const present = await offered(null)
    const older = await offered(1)
    expect(present.sources).toEqual(sources)
    expect(older.sources).toEqual([{ type: 'files', paths: ['/data'] }])
    expect(older.vault.recipients.content).toEqual([world.content.recipient.text])
    expect(present.vault.recipients.content).not.toEqual(older.vault.recipients.content)
  })
})
