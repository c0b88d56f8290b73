import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Caller } from '#server/core/caller.ts'
import { removeServer, revokeServer } from '#server/flow/end-server.ts'
import { systemClock } from '#server/io/clock.ts'
import { type Resources, resourcesIn } from '#server/io/db/resources.ts'
import { systemRandom } from '#server/io/random.ts'
import { id } from '../../../support/agent-world.ts'
import { type Plane, startPlane, startSecond } from '../../../support/agent-plane.ts'
import { connectAgent, newAgent } from '../../../support/scripted-agent.ts'

let plane: Plane
let resources: Resources
let caller: Caller

beforeAll(async () => {
  plane = await startPlane()
  const { world, database } = plane
  const parts = { sealing: world.sealed, clock: systemClock, random: systemRandom }
  resources = resourcesIn(database.db, parts)
  caller = {
    organization: world.organization,
    token: id<'token'>(),
    name: 'test',
    scopes: ['admin'],
    project: null,
    expiresAt: null,
  }
})
afterAll(async () => plane.close())

const ending = () => ({ servers: resources.servers, agents: plane.parts })

const connected = async (url: string) => {
  const server = await plane.world.addServer()
  const me = newAgent()
  const agent = connectAgent(url, me, { token: await plane.world.addToken(server) })
  await agent.welcome
  return { server, me, agent }
}

const attempt = async (me: ReturnType<typeof newAgent>, hello: { token: string } | 'connect') =>
  connectAgent(plane.url, { ...me, joins: me.joins + 5 }, hello).welcome

describe('an agent whose server is revoked', () => {
  test('is cut off, here and at other replicas, and its key opens nothing any more', async () => {
    const second = await startSecond(plane)
    for (const url of [plane.url, second.url]) {
      const { server, me, agent } = await connected(url)
      // So that it is not its own heartbeat that ends it.
      agent.hush()
      const early = await plane.world.addToken(server)
      const revoked = await revokeServer(ending(), caller, server)
      expect(revoked.revoked_at).not.toBeNull()
      expect((await agent.closed).code).toBe(4409)
      await expect(attempt(me, 'connect')).rejects.toThrow('AGENT_UNKNOWN')
      await expect(attempt(newAgent(), { token: early })).rejects.toThrow('ENROLMENT_REFUSED')
      expect(await resources.servers.get(caller, server)).toMatchObject({ status: 'offline' })
    }
    await second.stop()
  })

  test('can be followed by another, with a token that was made afterwards', async () => {
    const { server, me } = await connected(plane.url)
    await revokeServer(ending(), caller, server)
    const next = newAgent()
    const agent = connectAgent(plane.url, next, { token: await plane.world.addToken(server) })
    await agent.welcome
    expect(await resources.servers.get(caller, server)).toMatchObject({
      status: 'online',
      revoked_at: null,
    })
    await expect(attempt(me, 'connect')).rejects.toThrow('AGENT_UNKNOWN')
    await agent.close()
  })

  test('is cut off as well when its server is removed', async () => {
    const { server, me, agent } = await connected(plane.url)
    await removeServer(ending(), caller, server)
    expect((await agent.closed).code).toBe(4409)
    await expect(attempt(me, 'connect')).rejects.toThrow('AGENT_UNKNOWN')
    const token = await plane.world.addToken(server)
    await expect(attempt(newAgent(), { token })).rejects.toThrow('ENROLMENT_REFUSED')
  })
})
