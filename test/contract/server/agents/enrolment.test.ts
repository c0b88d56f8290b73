import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServerId } from '#shared/ids.ts'
import { recipientsFingerprint } from '#shared/format/keys.ts'
import { prepareVault } from '#server/flow/prepare-vault.ts'
import { openNewVault, type Plane, startPlane, startSecond } from '../../../support/agent-plane.ts'
import { hashOf, id } from '../../../support/agent-world.ts'
import { connectAgent, newAgent } from '../../../support/scripted-agent.ts'
import { FACTS } from '../../../support/facts.ts'

let plane: Plane
beforeAll(async () => {
  plane = await startPlane()
})
afterAll(async () => plane.close())

const serverRow = async (
  server: ServerId,
): Promise<{ status: string; join_counter: number; last_seen_at: Date | null }> =>
  plane.database.db
    .selectFrom('servers')
    .select(['status', 'join_counter', 'last_seen_at'])
    .where('id', '=', server)
    .executeTakeFirstOrThrow()

/** Waits for what another connection brings about; the test's own time limit is the deadline. */
const until = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise((resume) => setTimeout(resume, 10))
}

describe('an enrolment token', () => {
  test('lets exactly one of twenty agents in that use it at once', async () => {
    const server = await plane.world.addServer()
    const token = hashOf(await plane.world.addToken(server))
    const tries = Array.from({ length: 20 }, async () => {
      const { signing, boxKey } = newAgent()
      const newcomer = {
        signingKey: signing.publicKey,
        boxKey: new Uint8Array(Buffer.from(boxKey, 'base64url')),
        facts: FACTS,
      }
      const enrolled = await plane.parts.agents.enroll(token, newcomer)
      return 'refused' in enrolled ? enrolled.refused : signing.publicKey
    })
    const done = await Promise.all(tries)
    const let_in = done.filter((one) => typeof one !== 'string')
    expect(let_in).toHaveLength(1)
    expect(done.filter((one) => one === 'the token was used already')).toHaveLength(19)
    const known = await plane.parts.agents.find(server)
    expect(Buffer.from(known!.signingKey)).toEqual(Buffer.from(let_in[0]!))
  })

  test('is refused when it is unknown, expired, or of a server that is gone', async () => {
    const server = await plane.world.addServer()
    const attempt = async (token: string): Promise<unknown> =>
      connectAgent(plane.url, newAgent(), { token }).welcome
    await expect(attempt('hfe_nothing')).rejects.toThrow('ENROLMENT_REFUSED')
    await expect(attempt(await plane.world.addToken(server, -1))).rejects.toThrow(
      'ENROLMENT_REFUSED',
    )
    const token = await plane.world.addToken(server)
    await plane.database.db
      .updateTable('servers')
      .set({ deleted_at: new Date() })
      .where('id', '=', server)
      .execute()
    await expect(attempt(token)).rejects.toThrow('ENROLMENT_REFUSED')
    const row = await plane.database.db
      .selectFrom('enrollment_tokens')
      .select('used_at')
      .where('hash', '=', hashOf(token))
      .executeTakeFirstOrThrow()
    expect(row.used_at).toBeNull()
  })

  test('is not used up by an agent that cannot prove its key', async () => {
    const server = await plane.world.addServer()
    const token = await plane.world.addToken(server)
    const me = newAgent()
    const liar = { ...me, signing: { ...me.signing, sign: () => new Uint8Array(64) } }
    await expect(connectAgent(plane.url, liar, { token }).welcome).rejects.toThrow(
      'ENROLMENT_REFUSED',
    )
    const agent = connectAgent(plane.url, me, { token })
    expect(await agent.welcome).toMatchObject({ server, joins: 1 })
    await agent.close()
  })

  test('offers the vault whose fingerprint was shown when it was made', async () => {
    const { world } = plane
    const server = await world.addServer()
    const of = { server, storage: world.storage, key: world.key }
    const shown = await Promise.all(
      Array.from({ length: 10 }, async () => prepareVault(plane.parts, world.organization, of)),
    )
    expect(new Set(shown.map((vault) => vault.id)).size).toBe(1)
    const agent = connectAgent(plane.url, newAgent(), { token: await world.addToken(server) })
    const { vaults } = await agent.welcome
    expect(vaults).toEqual([
      {
        vault: shown[0]!.id,
        storage: 'bucket',
        recipients: shown[0]!.recipients,
        fingerprint: shown[0]!.fingerprint,
      },
    ])
    expect(shown[0]!.fingerprint).toBe(recipientsFingerprint(shown[0]!.recipients))
    expect(shown[0]!.recipients.content).toEqual([world.content.recipient.text])
    expect(shown[0]!.recipients.recovery).toEqual([world.recovery.recipient.text])
    await agent.close()
  })

  test('begins a new vault, with the fingerprint that was shown, where another agent began the old one', async () => {
    const { world } = plane
    const server = await world.addServer()
    const me = newAgent()
    const first = connectAgent(plane.url, me, { token: await world.addToken(server) })
    await first.welcome
    await world.addBackup(await world.addJob(server), server)
    const start = await first.next('backup.start')
    await openNewVault(first, me, [world, start])
    await first.close()
    const of = { server, storage: world.storage, key: world.key }
    const shown = await prepareVault(plane.parts, world.organization, of)
    expect(shown.id).toBe(start.vault.id)
    const again = connectAgent(plane.url, newAgent(), { token: await world.addToken(server) })
    const { vaults } = await again.welcome
    expect(vaults?.[0]).toMatchObject({ fingerprint: shown.fingerprint })
    expect(vaults?.[0]?.vault).not.toBe(shown.id)
    const identities = await plane.database.db
      .selectFrom('vaults')
      .select(['id', 'sealed_list_identity', 'retired_at'])
      .where('server_id', '=', server)
      .execute()
    const opened = identities.map((row) => ({
      isRetired: row.retired_at !== null,
      identity: Buffer.from(
        world.sealed.open(`vaults/${row.id}/list_identity`, row.sealed_list_identity),
      ).toString(),
    }))
    expect(new Set(opened.map(({ identity }) => identity)).size).toBe(1)
    expect(opened.map(({ isRetired }) => isRetired).sort()).toEqual([false, true])
    await again.close()
  })
})

describe('an enrolled agent', () => {
  test('is known by its key alone, and nobody is told who there is', async () => {
    const server = await plane.world.addServer()
    const me = newAgent()
    const first = connectAgent(plane.url, me, { token: await plane.world.addToken(server) })
    await first.welcome
    await first.close()
    const attempt = async (as: typeof me): Promise<unknown> =>
      connectAgent(plane.url, { ...as, joins: as.joins + 1 }, 'connect').welcome
    const other = newAgent()
    await expect(attempt({ ...other, server })).rejects.toThrow('AGENT_UNKNOWN')
    await expect(attempt({ ...me, server: id<'server'>() })).rejects.toThrow('AGENT_UNKNOWN')
    await plane.database.db
      .updateTable('servers')
      .set({ revoked_at: new Date() })
      .where('id', '=', server)
      .execute()
    await expect(attempt(me)).rejects.toThrow('AGENT_UNKNOWN')
  })

  test('is refused and marked when its count of connections does not rise', async () => {
    const server = await plane.world.addServer()
    const me = newAgent()
    const first = connectAgent(plane.url, me, { token: await plane.world.addToken(server) })
    await first.welcome
    await first.close()
    const copy = { ...me }
    me.joins += 1
    const second = connectAgent(plane.url, me, 'connect')
    expect(await second.welcome).toMatchObject({ joins: 2 })
    for (const joins of [2, 1]) {
      const clone = connectAgent(plane.url, { ...copy, joins }, 'connect')
      await expect(clone.welcome).rejects.toThrow('AGENT_CLONED')
    }
    expect(await serverRow(server)).toMatchObject({ status: 'failing', join_counter: 2 })
    const noted = await plane.database.db
      .selectFrom('audit_log')
      .select(['action', 'details'])
      .where('subject_id', '=', server)
      .execute()
    expect(noted).toHaveLength(2)
    expect(noted[0]).toMatchObject({ action: 'agent.cloned', details: { known: 2 } })
    await second.close()
  })

  test('counts one of two connections that come with the same count at once', async () => {
    const server = await plane.world.addServer()
    const me = newAgent()
    const first = connectAgent(plane.url, me, { token: await plane.world.addToken(server) })
    await first.welcome
    await first.close()
    const joined = await Promise.all(
      Array.from({ length: 10 }, async () => plane.parts.agents.join(server, 2, FACTS)),
    )
    expect(joined.filter((one) => one.joined)).toHaveLength(1)
  })

  test('has one connection: the newer closes the older, also on another replica', async () => {
    const second = await startSecond(plane)
    const server = await plane.world.addServer()
    const me = newAgent()
    const first = connectAgent(plane.url, me, { token: await plane.world.addToken(server) })
    await first.welcome
    me.joins += 1
    const here = connectAgent(plane.url, me, 'connect')
    await here.welcome
    expect(await first.closed).toMatchObject({ code: 4409 })
    me.joins += 1
    const there = connectAgent(second.url, me, 'connect')
    await there.welcome
    expect(await here.closed).toMatchObject({ code: 4409 })
    expect(second.parts.links.get(server)).not.toBeNull()
    await until(async () => Promise.resolve(plane.parts.links.get(server) === null))
    expect(await serverRow(server)).toMatchObject({ status: 'online', join_counter: 3 })
    await there.close()
    await until(async () => (await serverRow(server)).status === 'offline')
    await second.stop()
  })

  test('that breaks the protocol is closed and loses nothing but the connection', async () => {
    const server = await plane.world.addServer()
    const me = newAgent()
    const agent = connectAgent(plane.url, me, { token: await plane.world.addToken(server) })
    await agent.welcome
    agent.tell({ type: 'numbers.request', run: 'no id', epoch: 1, count: 1 })
    expect(await agent.closed).toMatchObject({ code: 4400 })
    me.joins += 1
    const again = connectAgent(plane.url, me, 'connect')
    await again.welcome
    await again.close()
  })
})
