import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPace } from '#server/flow/verifications/pace.ts'
import { verifyRestore } from '#server/flow/verifications/verify-restore.ts'
import { systemClock } from '#server/io/clock.ts'
import { systemRandom } from '#server/io/random.ts'
import type { Claim } from '#server/ports/tasks.ts'
import type { VerificationJob } from '#server/ports/verifications.ts'
import type { Verification } from '#shared/api/verifications.ts'
import { KiB } from '#shared/units.ts'
import type { BackupId } from '#shared/ids.ts'
import { dataOf, errorOf } from '../../../support/answers.ts'
import { addToken, newId } from '../../../support/http-objects.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file, symlink } from '../../../support/vault-place.ts'
import {
  lastVerified,
  settledVerification,
  verifyBackup,
  verifyByHand,
} from '../../../support/verifying.ts'

let world: ReadingWorld
beforeAll(async () => {
  world = await readingWorld()
})
afterAll(async () => world.close())

const random = seeded('verify').bytes
const shared = Buffer.from(random(20 * KiB))
const entries = [
  directory('/d'),
  ...Array.from({ length: 30 }, (_, i) => file(`/d/f${i}`, Buffer.from(random(3 * KiB)))),
  file('/d/large', Buffer.from(random(700 * KiB))),
  file('/d/one', shared),
  file('/d/two', shared),
  file('/d/empty', ''),
  file('/d/gone', '', { size: 5, skipped: 'unreadable' }),
  symlink('/d/link', 'one'),
]
const small = {
  entriesPerSegment: 6,
  itemsPerFence: 3,
  packTarget: 128 * KiB,
  chunk: 8 * KiB,
  frameTarget: 16 * KiB,
  listAbove: 16,
  locatorsPerList: 20,
} as const

const settled = async (id: string): Promise<Verification> => settledVerification(world, id)

const verify = async (id: string): Promise<Verification> => verifyBackup(world, id)

const lastOf = async (id: string): Promise<unknown> => lastVerified(world, id)

const flip =
  (at: number) =>
  (bytes: Uint8Array): Uint8Array => {
    bytes[at]! ^= 1
    return bytes
  }

/** What its stream of events tells until it closes. */
const statusesOf = async (id: string): Promise<string[]> => {
  const stream = await world.api.app.inject({
    method: 'GET',
    url: `/v1/verifications/${id}/events`,
    headers: { authorization: `Bearer ${world.api.token}` },
  })
  return [...stream.body.matchAll(/event: status\ndata: (.*)/g)].map(
    ([, data = '']) => (JSON.parse(data) as { status: string }).status,
  )
}

describe('a verification', () => {
  let vault: StoredVault
  let id: BackupId
  let written: Awaited<ReturnType<StoredVault['backup']>>['written']
  beforeAll(async () => {
    vault = await storeVault(world, small)
    ;({ id, written } = await vault.backup(entries))
  })
  const placed = (no: number): NonNullable<ReturnType<typeof vault.writer.store.placed.get>> =>
    vault.writer.store.placed.get(no)!

  test('reads all of a good backup and finds nothing', async () => {
    expect(await lastOf(id)).toBeNull()
    const { id: verified, result, status, error, progress } = await verify(id)
    expect([status, error]).toEqual(['completed', null])
    const content = entries.reduce((sum, one) => sum + ('data' in one ? one.data.length : 0), 0)
    expect(result).toEqual({
      status: 'passed',
      files: entries.length,
      objects: vault.writer.store.placed.size,
      bytes: content,
      problem_count: 0,
      problems: [],
    })
    expect(progress).toMatchObject({ bytes_done: content, files_done: entries.length })
    const { problems, ...summary } = result!
    expect(problems).toEqual([])
    expect(await lastOf(id)).toEqual({
      ...summary,
      at: expect.any(String) as string,
      verification_id: verified,
    })
  })

  test('names exactly the files that a wrong byte concerns', async () => {
    for (const name of ['large', 'one']) {
      const found = written.files.find(({ test: one }) => one.name === name)!
      const [no, offset] = found.content[0]!
      const { key, preamble } = placed(no)
      // The frame lies in the first 64 KiB segment: everything in that segment is lost, and nothing else.
      const segment = Math.floor(offset / (64 * KiB))
      const at = preamble + segment * (64 * KiB + 16) + (offset % (64 * KiB)) + 3
      const touched = written.files.filter(({ content }) =>
        content.some(([pack, from, length]) => {
          const first = Math.floor(from / (64 * KiB))
          const last = Math.floor((from + length - 1) / (64 * KiB))
          return pack === no && first <= segment && segment <= last
        }),
      )
      await vault.spoil(key, flip(at))
      const { result } = await verify(id)
      expect(result?.status).toBe('failed')
      const names = result!.problems.map(({ path }) => path).sort()
      expect(names).toEqual(touched.map(({ test: one }) => `/d/${one.name}`).sort())
      expect(result!.problems.every(({ code }) => code === 'DAMAGED')).toBe(true)
      expect(names).toContain(`/d/${name}`)
      await vault.heal(key)
    }
    expect((await verify(id)).result?.status).toBe('passed')
  })

  test('names the files of a pack that is missing or another one', async () => {
    const [no] = written.files.find(({ test: one }) => one.name === 'f3')!.content[0]!
    const { key } = placed(no)
    const touched = written.files
      .filter(({ content }) => content.some(([pack]) => pack === no))
      .map(({ test: one }) => `/d/${one.name}`)
      .sort()
    await vault.spoil(key, null)
    const missing = (await verify(id)).result!
    expect(missing.problems.map(({ path }) => path).sort()).toEqual(touched)
    for (const { code, problem } of missing.problems)
      expect([code, problem]).toEqual(['MISSING_OBJECT', expect.stringContaining(key)])
    expect(await lastOf(id)).toMatchObject({ status: 'failed', problem_count: touched.length })
    const other = [...vault.writer.store.placed.values()].find(
      (one) => one.kind === 'pack' && one.pack !== no,
    )!
    await vault.spoil(key, () => vault.writer.objects.get(other.key)!)
    const swapped = (await verify(id)).result!
    expect(swapped.problems.map(({ path }) => path).sort()).toEqual(touched)
    await vault.heal(key)
  })

  test('names the range of names that is lost with a part of the tree', async () => {
    const { key } = placed(written.segments[2]!.locator[0])
    await vault.spoil(key, null)
    const { result } = await verify(id)
    expect(result?.status).toBe('failed')
    expect(result!.problems.length).toBeGreaterThan(0)
    for (const problem of result!.problems)
      expect(problem).toMatchObject({ code: 'MISSING_OBJECT', path: expect.any(String) as string })
    await vault.heal(key)
  })

  test('finds a record that was changed, and a secret that does not open', async () => {
    await vault.spoil(written.key, flip(vault.writer.objects.get(written.key)!.length - 5))
    expect((await verify(id)).result).toMatchObject({
      status: 'failed',
      problems: [{ path: '/', code: 'DAMAGED' }],
    })
    expect(await lastOf(id)).toMatchObject({ status: 'failed', problem_count: 1 })
    await vault.heal(written.key)
    const secret = [...vault.writer.objects.keys()].find((key) => key.includes('/keys/'))!
    await vault.spoil(secret, flip(vault.writer.objects.get(secret)!.length - 5))
    expect((await verify(id)).result).toMatchObject({ problems: [{ path: '/', code: 'DAMAGED' }] })
    await vault.heal(secret)
  })

  /** As a replica leaves it that was killed: the claim lasts for `ms` more. */
  const leftBehind = async (verification: string, ms: number): Promise<Claim<VerificationJob>> => {
    const row = await world.database.db
      .updateTable('verifications')
      .set({
        ...{ status: 'running', completed_at: null, result: null },
        lease_until: new Date(Date.now() + ms),
      })
      .where('id', '=', verification as never)
      .returning(['id', 'lease_epoch', 'attempt', 'level', 'checkpoint'])
      .executeTakeFirstOrThrow()
    return {
      epoch: row.lease_epoch,
      attempt: row.attempt,
      job: {
        ...{ id: row.id, organization: world.organization, backup: id },
        ...{ level: row.level, openRequest: null, checkpoint: row.checkpoint },
      },
    }
  }

  test('tells of a file once, over however many windows of content it goes', async () => {
    const packs = new Set(written.files.flatMap(({ content }) => content.map(([no]) => no)))
    for (const no of packs) await vault.spoil(placed(no).key, null)
    const left = await leftBehind((await verify(id)).id, 3_600_000)
    const { agents, resources } = world.api
    const { verifications, storedObjects } = resources
    const pace = createPace(systemClock, null)
    const own = { pace, clock: systemClock, random: systemRandom }
    const parts = { ...agents, verifications, storedObjects, ...own }
    const stop = new AbortController().signal
    await verifyRestore(parts, { window: 4 })(left, { stop, report: () => undefined })
    const { result } = await settled(left.job.id)
    const names = result!.problems.map(({ path }) => path).sort()
    const full = written.files.filter(({ content }) => content.length > 0)
    expect(names).toEqual(full.map(({ test: one }) => `/d/${one.name}`).sort())
    for (const no of packs) await vault.heal(placed(no).key)
  })

  test('does not believe a record that another key than the vault’s has signed', async () => {
    const other = await storeVault(world)
    other.writer.nextSigner()
    const { id: forged } = await other.backup([file('/f', 'x')])
    const { result } = await verify(forged)
    expect(result).toMatchObject({
      status: 'failed',
      problems: [
        { path: '/', code: 'DAMAGED', problem: expect.stringContaining('sign') as string },
      ],
    })
    expect(await lastOf(forged)).toMatchObject({ status: 'failed' })
  })

  test('that a killed replica left behind is taken up, and the dead one changes nothing', async () => {
    const { id: left } = await verify(id)
    const { verifications } = world.api.resources
    const dead = await leftBehind(left, -1000)
    const { result, status } = await settled(left)
    expect([status, result?.status]).toEqual(['completed', 'passed'])
    const lie = { ...result!, status: 'failed' as const, problem_count: 1 }
    const progress = { bytes_total: 0, bytes_done: 0, files_done: 0, problem_count: 1 }
    expect(await verifications.renew(dead, { progress, checkpoint: null }, 1000)).toBe(false)
    expect(await verifications.complete(dead, lie, progress)).toBe(false)
    expect(await lastOf(id)).toMatchObject({ status: 'passed', verification_id: left })
    expect((await settled(left)).result).toEqual(result)
  })

  test('is told as it goes on, to those who may see it', async () => {
    const { id: known } = await verify(id)
    expect(await statusesOf(known)).toEqual(['pending', 'running', 'completed'])
    const project = await world.api.call('POST', '/v1/projects', { body: { name: 'verify' } })
    const token = await addToken(world, { project: dataOf(project)['id'] as never })
    for (const url of [`/v1/verifications/${known}`, `/v1/verifications/${known}/events`])
      expect((await world.api.call('GET', url, { token })).status).toBe(404)
    expect((await world.api.call('GET', `/v1/verifications/${newId()}`)).status).toBe(404)
  })

  test('is refused for other levels, for readers, and while another one is at work', async () => {
    const ask = async (body: object, token?: string): ReturnType<typeof world.api.call> =>
      world.api.call('POST', `/v1/backups/${id}/verify`, {
        body,
        ...(token === undefined ? {} : { token }),
      })
    for (const level of ['deep', undefined]) {
      const answer = await ask({ level })
      expect([answer.status, errorOf(answer).details['field']]).toEqual([400, 'level'])
    }
    const reader = await addToken(world, { scopes: ['read'] })
    expect((await ask({ level: 'restore' }, reader)).status).toBe(403)
    await leftBehind((await verify(id)).id, 3_600_000)
    const second = await ask({ level: 'restore' })
    expect([second.status, errorOf(second).code]).toEqual([409, 'OPERATION_IN_PROGRESS'])
    await world.database.db.deleteFrom('verifications').where('status', '=', 'running').execute()
  })

  test('is canceled while it is worked on: whoever does so notes nothing any more', async () => {
    const { id: fresh } = await vault.backup([file('/canceled', 'x'), ...entries])
    const { id, turn } = await verifyByHand(world, fresh, 'full')
    expect((await turn(0)).status).toBe('running')
    const answer = await world.api.call('POST', `/v1/verifications/${id}/cancel`)
    expect([answer.status, dataOf(answer)['status']]).toEqual([200, 'canceled'])
    await expect(turn(3_600_000)).rejects.toMatchObject({ code: 'LEASE_LOST' })
    const shown = dataOf(await world.api.call('GET', `/v1/verifications/${id}`))
    expect(shown).toMatchObject({ status: 'canceled', result: null, error: { code: 'CANCELED' } })
    expect(await lastVerified(world, fresh, 'full')).toBeNull()
    expect(await statusesOf(id)).toEqual(['canceled'])
    // It holds nothing back.
    expect((await world.api.call('DELETE', `/v1/backups/${fresh}`)).status).toBe(204)
  })

  test('needs no open request where the control plane has the key, and refuses one by name', async () => {
    const answer = await world.api.call('POST', `/v1/backups/${id}/verify`, {
      body: { level: 'restore', open_request_id: newId() },
    })
    expect([answer.status, errorOf(answer).code]).toEqual([400, 'VALIDATION_FAILED'])
    expect(errorOf(answer).details['field']).toBe('open_request_id')
  })

  test('is nobody else’s', async () => {
    const org = newId<'organization'>()
    await world.database.db.insertInto('organizations').values({ id: org, name: 'o' }).execute()
    const elsewhere = await addToken(world, { org })
    const { id: known } = await verify(id)
    for (const url of [`/v1/verifications/${known}`, `/v1/verifications/${known}/events`])
      expect((await world.api.call('GET', url, { token: elsewhere })).status).toBe(404)
    const body = { level: 'restore' }
    const asked = await world.api.call('POST', `/v1/backups/${id}/verify`, {
      body,
      token: elsewhere,
    })
    expect([asked.status, errorOf(asked).code]).toEqual([404, 'RESOURCE_NOT_FOUND'])
  })
})
