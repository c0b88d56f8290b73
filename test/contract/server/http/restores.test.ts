import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileId } from '#shared/api/file-ids.ts'
import type { BackupId, JobId, ProjectId } from '#shared/ids.ts'
import { type Answer, dataOf, errorOf } from '../../../support/answers.ts'
import { addProject, addToken, newId } from '../../../support/http-objects.ts'
import { partsOf, restoringAgent, type RestoringAgent } from '../../../support/restoring.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'

let world: ReadingWorld
let vault: StoredVault
let agent: RestoringAgent
let backup: BackupId

beforeAll(async () => {
  world = await readingWorld()
  vault = await storeVault(world)
  backup = (await vault.backup([directory('/etc'), file('/etc/hosts', 'localhost')])).id
  agent = await restoringAgent(world, partsOf(world))
})
afterAll(async () => world.close())

let places = 0
const freshPlace = (): string => {
  places += 1
  return `/restore/place-${places}`
}

const ask = async (body: object = {}, token?: string, of: string = backup): Promise<Answer> =>
  world.api.call('POST', `/v1/backups/${of}/restore`, {
    body: {
      compute: { type: 'agent', server_id: agent.server },
      target_path: freshPlace(),
      ...body,
    },
    ...(token === undefined ? {} : { token }),
  })

const started = async (body: object = {}): Promise<Record<string, unknown>> => {
  const answer = await ask(body)
  expect(answer.body).toMatchObject({ data: { status: 'pending' } })
  expect(answer.status).toBe(201)
  return dataOf(answer)
}

const finish = async (id: unknown): Promise<void> => {
  await world.api.call('POST', `/v1/restores/${String(id)}/cancel`)
}

describe('a restore that is asked for', () => {
  test('is answered at once with all that there is to say of it', async () => {
    const woken = world.api.woken()
    const target = freshPlace()
    const hosts = fileId('/etc/hosts')
    const restore = await started({
      target_path: `${target}//`,
      conflict: 'skip',
      files: [hosts, '/etc', '*.conf'],
    })
    expect(restore).toMatchObject({
      org_id: world.organization,
      job_id: vault.job,
      backup_id: backup,
      compute: {
        id: agent.server,
        type: 'agent',
        server: { id: agent.server, status: 'online', host: null, user: null, port: null },
      },
      target_path: target,
      conflict: 'skip',
      files: [
        { id: hosts, path: '/etc/hosts', glob: false },
        { id: fileId('/etc'), path: '/etc', glob: false },
        { id: null, path: '*.conf', glob: true },
      ],
      file_count: 3,
      phase: 'waiting',
      started_at: null,
      completed_at: null,
      error: null,
      counts: null,
      open_request_id: null,
      safety_backup_id: null,
      requires_restart: false,
    })
    expect(restore['message']).toContain('about to begin')
    expect(world.api.woken()).toBe(woken + 1)
    const seen = await world.api.call('GET', `/v1/restores/${String(restore['id'])}`)
    expect(dataOf(seen)).toEqual(restore)
    await finish(restore['id'])
  })

  test('goes to where everything was, on its own server, if nothing else is said', async () => {
    const own = await restoringAgent(world, partsOf(world), vault.server)
    const answer = await world.api.call('POST', `/v1/backups/${backup}/restore`, { body: {} })
    expect(answer.status).toBe(201)
    expect(dataOf(answer)).toMatchObject({
      target_path: null,
      conflict: null,
      files: [],
      file_count: 0,
      compute: { server: { id: own.server } },
    })
    await finish(dataOf(answer)['id'])
  })

  test('waits for a server that is not connected, and says so', async () => {
    const away = await restoringAgent(world, partsOf(world))
    await world.api.agents.agents.left(away.server, away.link().joins)
    const restore = await started({ compute: { type: 'agent', server_id: away.server } })
    expect(restore['message']).toContain('waits until the agent')
  })

  test('notes that its backup was used', async () => {
    const row = await world.database.db
      .selectFrom('backups')
      .select('last_used_at')
      .where('id', '=', backup)
      .executeTakeFirstOrThrow()
    expect(row.last_used_at).not.toBeNull()
  })
})

describe('what cannot be restored is refused by name', () => {
  const fields: readonly (readonly [string, object, string])[] = [
    ['exclude', { exclude: ['*.tmp'] }, 'exclude'],
    ['safety_backup', { safety_backup: false }, 'safety_backup'],
    ['dry_run', { dry_run: true }, 'dry_run'],
    ['delete_extra', { delete_extra: true }, 'delete_extra'],
    ['conflict newer', { conflict: 'newer' }, 'conflict'],
    ['conflict rename', { conflict: 'rename' }, 'conflict'],
    ['no files', { files: [] }, 'files'],
    ['a relative path', { files: ['/fine', 'etc/hosts'] }, 'files.1'],
    ['a path that climbs', { files: ['/etc/../root'] }, 'files.0'],
    ['too many files', { files: Array.from({ length: 10_001 }, (_, i) => `/f${i}`) }, 'files'],
    ['compute by ssh', { compute: { type: 'ssh', server_id: newId() } }, 'compute.type'],
    ['compute without a server', { compute: { type: 'agent' } }, 'compute.server_id'],
    ['a relative target', { target_path: 'srv' }, 'target_path'],
    ['a target that climbs', { target_path: '/srv/../etc' }, 'target_path'],
  ]
  test.each(fields)('%s', async (_, body, field) => {
    const answer = await ask(body)
    expect([answer.status, errorOf(answer).code, errorOf(answer).details['field']]).toEqual([
      400,
      'VALIDATION_FAILED',
      field,
    ])
  })

  test('a backup that is none, or not the caller’s', async () => {
    const running = newId<'backup'>()
    const job = await storeVault(world)
    await world.database.db
      .insertInto('backups')
      .values({
        id: running,
        org_id: world.organization,
        job_id: job.job,
        job_version: 1,
        server_id: job.server,
        name: 'runs',
        trigger: 'manual',
      })
      .execute()
    expect(errorOf(await ask({}, undefined, running))).toMatchObject({ code: 'INVALID_STATE' })
    expect((await ask({}, undefined, newId())).status).toBe(404)
    const org = newId<'organization'>()
    await world.database.db
      .insertInto('organizations')
      .values({ id: org, name: 'another' })
      .execute()
    const stranger = await addToken(world, { org })
    expect((await ask({}, stranger)).status).toBe(404)
    const project = (await addProject(world.api, 'of nothing')) as ProjectId
    expect((await ask({}, await addToken(world, { project }))).status).toBe(404)
  })

  test('a server that is not there, or has no agent', async () => {
    const compute = (server_id: string): object => ({ compute: { type: 'agent', server_id } })
    expect(errorOf(await ask(compute(newId())))).toMatchObject({
      code: 'RESOURCE_NOT_FOUND',
      details: { resource: 'server' },
    })
    const bare = await storeVault(world)
    expect(errorOf(await ask(compute(bare.server))).code).toBe('INVALID_STATE')
  })

  test('to a token that may not restore', async () => {
    const reader = await addToken(world, { scopes: ['read', 'backup', 'download', 'admin'] })
    expect(errorOf(await ask({}, reader))).toMatchObject({
      code: 'PERMISSION_DENIED',
      details: { scope: 'restore' },
    })
  })
})

describe('two things at one place', () => {
  test.each([
    ['the same', '/srv/a', '/srv/a'],
    ['one below it', '/srv/b', '/srv/b/c'],
    ['one above it', '/srv/d/e', '/srv/d'],
  ])('a second restore onto %s is refused while the first is open', async (_, first, second) => {
    const restore = await started({ target_path: first })
    const refused = await ask({ target_path: second })
    expect(refused.status).toBe(409)
    expect(errorOf(refused)).toMatchObject({
      code: 'OPERATION_IN_PROGRESS',
      details: { operation: 'restore', id: restore['id'] },
    })
    await finish(restore['id'])
    await finish((await started({ target_path: second }))['id'])
  })

  test('neighbours, and the same place elsewhere, are fine', async () => {
    const other = await restoringAgent(world, partsOf(world))
    const all = [
      await started({ target_path: '/srv/n' }),
      await started({ target_path: '/srv/nn' }),
      await started({
        target_path: '/srv/n',
        compute: { type: 'agent', server_id: other.server },
      }),
    ]
    for (const { id } of all) await finish(id)
  })

  test('of many that come at once exactly one is taken', async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, async () => ask({ target_path: '/srv/race' })),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([
      201,
      ...Array.from({ length: 11 }, () => 409),
    ])
    const [taken] = answers.filter(({ status }) => status === 201)
    await finish(dataOf(taken!)['id'])
  })

  test('nothing is restored under a backup of the same job', async () => {
    const { db } = world.database
    const own = await storeVault(world)
    const id = (await own.backup([file('/one', '1')])).id
    await restoringAgent(world, partsOf(world), own.server)
    const running = newId<'backup'>()
    await db
      .insertInto('backups')
      .values({
        id: running,
        org_id: world.organization,
        job_id: own.job,
        job_version: 1,
        server_id: own.server,
        name: 'runs',
        trigger: 'manual',
      })
      .execute()
    const onto = async (target: string | null): Promise<Answer> =>
      world.api.call('POST', `/v1/backups/${id}/restore`, {
        body: target === null ? {} : { target_path: target },
      })
    const sources = async (job: JobId, paths: string[]): Promise<void> => {
      await db
        .updateTable('job_versions')
        .set({ sources: [{ type: 'files', paths }] })
        .where('job_id', '=', job)
        .execute()
    }
    await sources(own.job, ['/data', '/etc'])
    for (const target of [null, '/data', '/data/sub', '/'])
      expect(errorOf(await onto(target))).toMatchObject({
        code: 'OPERATION_IN_PROGRESS',
        details: { operation: 'backup', id: running },
      })
    expect((await onto('/elsewhere')).status).toBe(201)
    await db.deleteFrom('backups').where('id', '=', running).execute()
    expect((await onto('/data')).status).toBe(201)
  })
})
