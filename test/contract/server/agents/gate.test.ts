import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { ServerId } from '#shared/ids.ts'
import { MAX_MESSAGE } from '#shared/protocol/fields.ts'
import { GREETING_LIMIT } from '#shared/protocol/session.ts'
import { systemClock } from '#server/io/clock.ts'
import { type Plane, startPlane, startSecond } from '../../../support/agent-plane.ts'
import { id } from '../../../support/agent-world.ts'
import { connectAgent, newAgent } from '../../../support/scripted-agent.ts'

let plane: Plane
let replica: Awaited<ReturnType<typeof startSecond>>
let ahead = 0
beforeAll(async () => {
  plane = await startPlane()
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead }
  replica = await startSecond(plane, { clock })
})
afterAll(async () => {
  await replica.stop()
  await plane.close()
})

/** The test's own time limit is the deadline. */
const untilOffline = async (server: ServerId): Promise<void> => {
  for (;;) {
    const { status } = await plane.database.db
      .selectFrom('servers')
      .select('status')
      .where('id', '=', server)
      .executeTakeFirstOrThrow()
    if (status === 'offline') return
    await new Promise((resume) => setTimeout(resume, 10))
  }
}

type Raw = {
  readonly socket: WebSocket
  readonly frames: string[]
  readonly closed: Promise<number>
}

const dial = async (): Promise<Raw> => {
  const socket = new WebSocket(replica.url)
  const frames: string[] = []
  const closed = new Promise<number>((resolve) => socket.on('close', resolve))
  await new Promise<void>((resolve) => {
    socket.on('message', (data: Buffer) => {
      frames.push(data.toString('utf8'))
      resolve()
    })
  })
  return { socket, frames, closed }
}

describe('the gate for agents', () => {
  test('greets at once, with another challenge each time', async () => {
    const [a, b] = await Promise.all([dial(), dial()])
    const challenges = [a, b].map(({ frames }) => JSON.parse(frames[0]!) as { challenge: string })
    expect(challenges[0]!.challenge).not.toBe(challenges[1]!.challenge)
    for (const { socket, closed } of [a, b]) {
      socket.close()
      await closed
    }
  })

  test('closes on whoever does not introduce itself in time', async () => {
    const { closed } = await dial()
    ahead += GREETING_LIMIT
    expect(await closed).toBe(4408)
  })

  test('closes on an agent that falls silent, and notes that its server is offline', async () => {
    const server = await plane.world.addServer()
    const me = newAgent()
    const token = await plane.world.addToken(server)
    const quiet = connectAgent(replica.url, me, { token })
    await quiet.welcome
    quiet.hush()
    ahead += 60_000
    expect(await quiet.closed).toMatchObject({ code: 4408 })
    expect(replica.parts.links.get(server)).toBeNull()
    await untilOffline(server)
  })

  test('says what is wrong with an introduction, and closes', async () => {
    for (const frame of ['nonsense', '{"type":"connect"}', '{"type":"heartbeat"}']) {
      const { socket, frames, closed } = await dial()
      socket.send(frame)
      expect(await closed).toBe(4400)
      expect(JSON.parse(frames[1]!)).toMatchObject({
        type: 'refused',
        problem: { code: 'PROTOCOL_VIOLATION' },
      })
    }
  })

  test('closes on a frame that is too large or is no text', async () => {
    const large = await dial()
    large.socket.send('x'.repeat(MAX_MESSAGE + 1))
    expect(await large.closed).toBe(1009)
    const binary = await dial()
    binary.socket.send(Buffer.from('{}'))
    expect(await binary.closed).toBe(4400)
  })

  test('lets go of an agent that does not read, and offers it nothing more', async () => {
    const server: ServerId = await plane.world.addServer()
    const me = newAgent()
    const agent = connectAgent(replica.url, me, { token: await plane.world.addToken(server) })
    await agent.welcome
    agent.hush()
    const resume = agent.pause()
    const link = replica.parts.links.get(server)!
    const packs = Array.from({ length: 10_000 }, (_, n) => 2 ** 52 + n)
    const order = {
      type: 'commit.missing',
      id: id<'message'>(),
      run: id<'backup'>(),
      packs,
    } as const
    let sent = 0
    while (link.send(order)) {
      sent += 1
      expect(sent).toBeLessThan(1000)
    }
    expect(replica.parts.links.get(server)).toBeNull()
    await untilOffline(server)
    resume()
    expect((await agent.closed).code).not.toBe(1000)
  })

  test('tells its agents when it stops', async () => {
    const second = await startSecond(plane)
    const server = await plane.world.addServer()
    const agent = connectAgent(second.url, newAgent(), {
      token: await plane.world.addToken(server),
    })
    await agent.welcome
    await second.stop()
    expect(await agent.closed).toMatchObject({ code: 1001 })
  })
})
