import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GcReport } from '#shared/api/gc.ts'
import type { BackupId } from '#shared/ids.ts'
import { GRACE_OVER } from '../../../support/collecting.ts'
import { dataOf, errorOf, rowsOf } from '../../../support/answers.ts'
import { addToken, newId } from '../../../support/http-objects.ts'
import { type ReadingWorld, readingWorld, storeVault } from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'
import { eventually } from '../../../support/wait.ts'

let world: ReadingWorld
beforeAll(async () => {
  world = await readingWorld()
})
afterAll(async () => world.close())

const call: ReadingWorld['api']['call'] = async (...args) => world.api.call(...args)

/** A backup in a vault of its own. */
const backedUp = async (): Promise<{ readonly id: BackupId; readonly vault: string }> => {
  const stored = await storeVault(world)
  const { id } = await stored.backup([directory('/d'), file('/d/a', 'content')])
  await sql`
    insert into job_heads (vault_id, job_id, org_id, sequence, backup_id, record_sha256)
    select vault_id, job_id, org_id, sequence, id, record_sha256 from backups where id = ${id}`.execute(
    world.database.db,
  )
  return { id, vault: stored.vault }
}

const gc = async (method: 'GET' | 'POST', body?: object): Promise<GcReport> => {
  const answer = await call(method, `/v1/storages/${world.storage}/gc`, { body })
  expect(answer.status).toBe(method === 'GET' || body !== undefined ? 200 : 202)
  return dataOf(answer) as unknown as GcReport
}

describe('DELETE /v1/backups/{id}', () => {
  test('hides the backup at once, and undelete shows it again', async () => {
    const { id } = await backedUp()
    expect((await call('DELETE', `/v1/backups/${id}`)).status).toBe(204)
    expect((await call('GET', `/v1/backups/${id}`)).status).toBe(404)
    expect((await call('DELETE', `/v1/backups/${id}`)).status).toBe(404)
    const listed = rowsOf(await call('GET', '/v1/backups')).map((row) => row['id'])
    expect(listed).not.toContain(id)
    const back = await call('POST', `/v1/backups/${id}/undelete`)
    expect([back.status, dataOf(back)['id']]).toEqual([200, id])
    expect((await call('GET', `/v1/backups/${id}`)).status).toBe(200)
    // Once more says the same.
    expect((await call('POST', `/v1/backups/${id}/undelete`)).status).toBe(200)
  })

  test('is refused while a restore reads it, while it is pinned, and while it runs', async () => {
    const { db } = world.database
    const { id } = await backedUp()
    const restore = newId<'restore'>()
    await sql`
      insert into restores (id, org_id, backup_id, job_id, vault_id, server_id, conflict, places, gc_floor)
      select ${restore}::uuid, org_id, id, job_id, vault_id, server_id, 'overwrite', '{/}', 0 from backups where id = ${id}`.execute(
      db,
    )
    const read = await call('DELETE', `/v1/backups/${id}`)
    expect([read.status, errorOf(read).code]).toEqual([409, 'RESOURCE_HAS_DEPENDENCIES'])
    expect(errorOf(read).details).toMatchObject({ restores_count: 1, restores_ids: [restore] })
    await sql`update restores set status = 'canceled', completed_at = hf_now() where id = ${restore}::uuid`.execute(
      db,
    )
    await sql`update backups set pinned = true where id = ${id}`.execute(db)
    const pinned = await call('DELETE', `/v1/backups/${id}`)
    expect([pinned.status, errorOf(pinned).code]).toEqual([409, 'CONFLICT'])
    await sql`update backups set pinned = false, status = 'running', completed_at = null where id = ${id}`.execute(
      db,
    )
    const running = await call('DELETE', `/v1/backups/${id}`)
    expect([running.status, errorOf(running).code]).toEqual([409, 'OPERATION_IN_PROGRESS'])
    await sql`update backups set status = 'completed', completed_at = hf_now() where id = ${id}`.execute(
      db,
    )
    expect((await call('DELETE', `/v1/backups/${id}`)).status).toBe(204)
  })

  test('needs its scope, and knows nobody else’s', async () => {
    const { id } = await backedUp()
    const weak = await addToken(world, { scopes: ['read', 'admin', 'backup'] })
    expect((await call('DELETE', `/v1/backups/${id}`, { token: weak })).status).toBe(403)
    expect((await call('POST', `/v1/backups/${id}/undelete`, { token: weak })).status).toBe(403)
    expect((await call('DELETE', `/v1/backups/${newId()}`)).status).toBe(404)
  })

  test('cannot be taken back when the grace period is over', async () => {
    const { id } = await backedUp()
    await call('DELETE', `/v1/backups/${id}`)
    await world.database.advanceClock(GRACE_OVER)
    const late = await call('POST', `/v1/backups/${id}/undelete`)
    expect([late.status, errorOf(late).code]).toEqual([410, 'GONE'])
  })
})

describe('/v1/storages/{id}/gc', () => {
  test('says what it would do, and does it', async () => {
    const { id, vault } = await backedUp()
    const mine = (report: GcReport): GcReport['vaults'][number] =>
      report.vaults.find(({ vault_id }) => vault_id === vault)!
    const before = mine(await gc('POST', { dry_run: true }))
    expect(before.needed).toEqual(before.stored)
    expect(before.condemn.objects).toBe(0)
    await call('DELETE', `/v1/backups/${id}`)
    const asked = await call('POST', `/v1/storages/${world.storage}/gc`, { body: {} })
    expect([asked.status, dataOf(asked)['dry_run']]).toEqual([202, false])
    const waiting = await eventually('it is condemned', async () => {
      const now = mine(await gc('GET'))
      return now.waiting.objects === before.stored.objects ? now : null
    })
    expect(waiting.needed.objects).toBe(0)
    await world.database.advanceClock(GRACE_OVER)
    expect(mine(await gc('POST', { dry_run: true })).delete).toEqual(before.stored)
    await call('POST', `/v1/storages/${world.storage}/gc`, { body: {} })
    const done = await eventually('it is deleted', async () => {
      const now = mine(await gc('GET'))
      return now.stored.objects === 0 && now.removing.objects === 0 ? now : null
    })
    expect(done).toMatchObject({ status: expect.any(String) as string, error: null })
  })
})
