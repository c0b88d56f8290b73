import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemRandom } from '#server/io/random.ts'
import type { BackupId, OpenRequestId, ProjectId } from '#shared/ids.ts'
import { boxPublicKey } from '#shared/format/keys.ts'
import { openerFingerprint, packsSha256, sealedFor } from '#shared/protocol/open-request.ts'
import { openSealed } from '#shared/seal.ts'
import { HOUR, KiB } from '#shared/units.ts'
import { approvalOf, approve, packsOf, requestOf } from '../../../support/approving.ts'
import { type Answer, dataOf, errorOf, rowsOf } from '../../../support/answers.ts'
import { addProject, addToken, newId } from '../../../support/http-objects.ts'
import { seeded } from '../../../support/seeded.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'
import type { WrittenBackup } from '../../../support/vault-writer.ts'

let world: ReadingWorld
let vault: StoredVault
let managed: BackupId
let backup: BackupId
let written: WrittenBackup
const secret = systemRandom(32)
const openerKey = Buffer.from(boxPublicKey(secret)).toString('base64url')

beforeAll(async () => {
  world = await readingWorld()
  vault = await storeVault(world, { key: 'customer', packTarget: 32 * KiB, chunk: 8 * KiB })
  const random = seeded('open requests').bytes
  const made = await vault.backup([
    directory('/d'),
    ...['a', 'b', 'c', 'd', 'e', 'f'].map((name) => file(`/d/${name}`, random(40 * KiB))),
  ])
  backup = made.id
  written = made.written
  managed = (await (await storeVault(world)).backup([file('/x', 'x')])).id
})
afterAll(async () => world.close())

const ask = async (body: object = {}, token?: string): Promise<Answer> =>
  world.api.call('POST', '/v1/open-requests', {
    body: { purpose: 'download', backup_id: backup, opener_key: openerKey, ...body },
    ...(token === undefined ? {} : { token }),
  })
const asked = async (body: object = {}): Promise<string> => {
  const answer = await ask(body)
  expect(answer.body).toMatchObject({ data: { status: 'pending' } })
  expect(answer.status).toBe(201)
  return String(dataOf(answer)['id'])
}
const approvalFor = async (id: string): ReturnType<typeof approvalOf> =>
  approvalOf(world.api, id, vault.writer.identity)

describe('an open request', () => {
  test('of everything names every pack of the backup, and what stands for them', async () => {
    const request = await requestOf(world.api, await asked())
    const packs = await packsOf(world.api, request.id, 2)
    expect(packs.length).toBeGreaterThan(5)
    expect(request).toMatchObject({
      purpose: 'download',
      backup_id: backup,
      job_id: vault.job,
      vault_id: vault.vault,
      restore_id: null,
      files: [],
      file_count: 0,
      packs: packs.map(({ no }) => no),
      pack_count: packs.length,
      packs_sha256: packsSha256(packs.map(({ no }) => no)),
      encryption_key: { id: vault.key, recipient: vault.writer.identity.recipient.text },
      opener: {
        type: 'token',
        key: openerKey,
        fingerprint: openerFingerprint(Buffer.from(openerKey, 'base64url')),
      },
      approved_at: null,
    })
    for (const { key, no, header } of packs) {
      const bytes = vault.writer.objects.get(key)!
      expect(vault.writer.store.placed.get(no)!.kind).toBe('pack')
      expect(Buffer.from(bytes.subarray(0, 20))).toEqual(
        Buffer.from(header, 'base64url').subarray(0, 20),
      )
    }
    const life = Date.parse(request.expires_at) - Date.parse(request.created_at)
    expect(life).toBe(24 * HOUR)
  })

  test('of chosen files names only the packs that hold them', async () => {
    const all = await requestOf(world.api, await asked())
    const one = await requestOf(world.api, await asked({ files: ['/d/c'] }))
    const glob = await requestOf(world.api, await asked({ files: ['/d/[ab]', '/nowhere'] }))
    const held = (name: string): number[] => {
      const found = written.files.find(({ test: { name: of } }) => of === name)!
      return [...new Set(found.content.map(([no]) => no))]
    }
    const sorted = (list: readonly number[]): number[] => [...new Set(list)].sort((a, b) => a - b)
    expect(one.packs).toEqual(sorted(held('c')))
    expect(glob.packs).toEqual(sorted([...held('a'), ...held('b')]))
    expect(one.pack_count).toBeLessThan(all.pack_count)
    expect(one.files).toMatchObject([{ path: '/d/c', glob: false }])
    expect(errorOf(await ask({ files: ['/nowhere'] })).code).toBe('RESOURCE_NOT_FOUND')
  })

  test('without an opener key is for the control plane itself, which alone can open it', async () => {
    const answer = await ask({ purpose: 'verify', opener_key: undefined })
    const id = String(dataOf(answer)['id']) as OpenRequestId
    expect(dataOf(answer)['opener']).toMatchObject({ type: 'control-plane' })
    expect((await approve(world.api, id, await approvalFor(id))).status).toBe(200)
    const { openRequests } = world.api.agents
    const approval = (await openRequests.approval(id))!
    const own = (await openRequests.openerSecret(id))!
    expect(openSealed(own, approval.sealedIdKey, sealedFor.idKey(id))).toEqual(vault.writer.idKey)
    const row = await world.database.db
      .selectFrom('open_requests')
      .select('sealed_opener_secret')
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    expect(Buffer.from(row.sealed_opener_secret!).includes(Buffer.from(own))).toBe(false)
  })

  const refused: readonly (readonly [string, object, string])[] = [
    ['purpose enrol', { purpose: 'enrol' }, 'purpose'],
    ['an opener key of low order', { opener_key: 'A'.repeat(43) }, 'opener_key'],
    ['a short opener key', { opener_key: 'AAAA' }, 'opener_key'],
    ['more than seven days', { expires_in: '8d' }, 'expires_in'],
    ['less than a minute', { expires_in: '30s' }, 'expires_in'],
    ['a field that is none', { server_id: newId() }, 'server_id'],
    ['a file that is none', { files: ['x'] }, 'files.0'],
  ]
  test.each(refused)('with %s is refused by name', async (_, body, field) => {
    expect(errorOf(await ask(body))).toMatchObject({
      code: 'VALIDATION_FAILED',
      details: { field },
    })
  })

  test('is not needed where the control plane has the key', async () => {
    expect(errorOf(await ask({ backup_id: managed })).code).toBe('INVALID_STATE')
    expect((await ask({ backup_id: newId() })).status).toBe(404)
  })

  test('takes the scope of its purpose', async () => {
    const may = async (scope: 'restore' | 'download' | 'keys', purpose: string): Promise<number> =>
      (await ask({ purpose }, await addToken(world, { scopes: ['read', scope] }))).status
    expect(await may('restore', 'restore')).toBe(201)
    expect(await may('download', 'download')).toBe(201)
    expect(await may('download', 'verify')).toBe(201)
    expect(await may('download', 'restore')).toBe(403)
    expect(await may('restore', 'download')).toBe(403)
    expect(await may('keys', 'restore')).toBe(403)
  })
})

describe('open requests', () => {
  test('are listed by status, purpose and backup, and seen by their own project only', async () => {
    const id = await asked({ purpose: 'restore', expires_in: '2h' })
    const list = async (query: string): Promise<unknown[]> =>
      rowsOf(await world.api.call('GET', `/v1/open-requests?limit=100&${query}`)).map(
        (r) => r['id'],
      )
    expect(await list(`backup_id=${backup}&purpose=restore&status=pending`)).toContain(id)
    expect(await list('purpose=verify')).not.toContain(id)
    expect(await list('status=approved')).not.toContain(id)
    expect(await list(`backup_id=${managed}`)).toEqual([])
    const project = (await addProject(world.api, 'of nobody')) as ProjectId
    const token = await addToken(world, { project })
    for (const path of ['', '/packs'])
      expect(
        (await world.api.call('GET', `/v1/open-requests/${id}${path}`, { token })).status,
      ).toBe(404)
    const approval = await approvalFor(id)
    const stranger = await world.api.call('POST', `/v1/open-requests/${id}/approve`, {
      token,
      body: approval,
    })
    expect(stranger.status).toBe(404)
  })

  test('show what is to be verified only to whoever may approve', async () => {
    const id = await asked()
    const { evidence } = await requestOf(world.api, id)
    expect(evidence!.signers).toHaveLength(1)
    const record = await fetch(evidence!.record.url)
    expect(record.status).toBe(200)
    expect((await record.arrayBuffer()).byteLength).toBe(evidence!.record.size)
    const token = await addToken(world, { scopes: ['read'] })
    const seen = await world.api.call('GET', `/v1/open-requests/${id}`, { token })
    expect(dataOf(seen)).not.toHaveProperty('evidence')
  })
})
