import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ProjectId, RestoreId, ServerId } from '#shared/ids.ts'
import { type Answer, dataOf, errorOf, metaOf, rowsOf } from '../../../support/answers.ts'
import { addProject, addToken, newId } from '../../../support/http-objects.ts'
import { partsOf, restoringAgent, type RestoringAgent } from '../../../support/restoring.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { file } from '../../../support/vault-place.ts'

let world: ReadingWorld
let agent: RestoringAgent
beforeAll(async () => {
  world = await readingWorld()
  agent = await restoringAgent(world, partsOf(world))
})
afterAll(async () => world.close())

let places = 0
const ask = async (backup: string): Promise<Answer> => {
  places += 1
  return world.api.call('POST', `/v1/backups/${backup}/restore`, {
    body: {
      compute: { type: 'agent', server_id: agent.server },
      target_path: `/restore/place-${places}`,
    },
  })
}

describe('restores', () => {
  let mine: StoredVault
  let backup: string
  let first: Record<string, unknown>
  beforeAll(async () => {
    mine = await storeVault(world)
    backup = (await mine.backup([file('/one', '1')])).id
    first = dataOf(await ask(backup))
    await world.api.call('POST', `/v1/restores/${String(first['id'])}/cancel`)
    await ask(backup)
  })

  const list = async (query: string): Promise<readonly Record<string, unknown>[]> =>
    rowsOf(await world.api.call('GET', `/v1/restores?${query}`))

  test('are listed by what they are of, and by their status', async () => {
    const own = `job_id=${mine.job}`
    expect(await list(own)).toHaveLength(2)
    expect(await list(`${own}&status=canceled`)).toMatchObject([{ id: first['id'] }])
    expect(await list(`backup_id=${String(first['backup_id'])}&limit=1`)).toHaveLength(1)
    expect(await list(`server_id=${mine.server}`)).toEqual([])
    expect(await list(`project_id=${newId()}`)).toEqual([])
    const answer = await world.api.call('GET', `/v1/restores?${own}&limit=1&sort=created_at`)
    expect(metaOf(answer)).toMatchObject({ total: 2, limit: 1 })
    const next = String(metaOf(answer)['next_cursor'])
    expect(await list(`${own}&limit=1&sort=created_at&cursor=${next}`)).toHaveLength(1)
  })

  test('of another project are not there', async () => {
    const { db } = world.database
    const project = (await addProject(world.api, 'one of the servers')) as ProjectId
    const token = await addToken(world, { project })
    const see = async (): Promise<number> =>
      (await world.api.call('GET', `/v1/restores/${String(first['id'])}`, { token })).status
    const move = async (server: string, to: ProjectId | null): Promise<void> => {
      await db
        .updateTable('servers')
        .set({ project_id: to })
        .where('id', '=', server as ServerId)
        .execute()
    }
    expect(await see()).toBe(404)
    await move(mine.server, project)
    expect(await see()).toBe(404)
    await move(agent.server, project)
    expect(await see()).toBe(200)
    await move(mine.server, null)
    expect(await see()).toBe(404)
    await move(agent.server, null)
  })

  test('are canceled once', async () => {
    const restore = dataOf(await ask(backup))
    const url = `/v1/restores/${String(restore['id'])}/cancel`
    const canceled = await world.api.call('POST', url)
    expect(dataOf(canceled)).toMatchObject({ status: 'canceled', error: { code: 'CANCELED' } })
    expect(errorOf(await world.api.call('POST', url))).toMatchObject({
      code: 'INVALID_STATE',
      details: { status: 'canceled' },
    })
    expect((await world.api.call('POST', `/v1/restores/${newId()}/cancel`)).status).toBe(404)
  })

  test('are operations of their backup', async () => {
    const seen = dataOf(await world.api.call('GET', `/v1/backups/${backup}`))
    const operations = seen['operations'] as Record<string, unknown>[]
    const restores = operations.filter(({ type }) => type === 'restore')
    expect(operations[0]).toMatchObject({ type: 'create', status: 'completed' })
    expect(restores.length).toBeGreaterThanOrEqual(2)
    const canceled = dataOf(await world.api.call('GET', `/v1/restores/${String(first['id'])}`))
    expect(restores.at(-1)).toEqual({
      type: 'restore',
      status: 'failed',
      started_at: null,
      completed_at: canceled['completed_at'],
      error: canceled['error'],
      triggered_by: canceled['triggered_by'],
    })
    expect(restores).toContainEqual(expect.objectContaining({ status: 'in_progress' }))
  })

  test('are written down: who asked for what', async () => {
    const row = await world.database.db
      .selectFrom('audit_log')
      .select(['action', 'details'])
      .where('subject_id', '=', first['id'] as RestoreId)
      .executeTakeFirstOrThrow()
    expect(row).toMatchObject({
      action: 'restore.started',
      details: { server_id: agent.server, backup_id: first['backup_id'] },
    })
  })

  test('have a log, and a stream of events that ends with them', async () => {
    const url = `/v1/restores/${String(first['id'])}`
    const lines = rowsOf(await world.api.call('GET', `${url}/logs`))
    expect(lines[0]).toMatchObject({ level: 'warn', fields: { code: 'CANCELED' } })
    const stream = await world.api.app.inject({
      method: 'GET',
      url: `${url}/events`,
      headers: { authorization: `Bearer ${world.api.token}` },
    })
    expect(stream.statusCode).toBe(200)
    expect(stream.body).toContain('event: status\ndata: {"status":"canceled"')
    expect(stream.body).toContain('event: progress')
  })
})
