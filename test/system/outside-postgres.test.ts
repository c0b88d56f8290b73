import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { afterAll, describe, expect, test } from 'vitest'
import { systemClock } from '#server/io/clock.ts'
import { openS3Store } from '#server/io/s3/store.ts'
import { makeSource } from '../soak/kill-source.ts'
import { hasDebianPostgres, startDebianDatabase } from '../support/debian-postgres.ts'
import { endToEnd } from '../support/end-to-end.ts'
import { startInstance } from '../support/instance.ts'
import { ACCESS_KEY, REGION, SECRET, sdkClient, spawnS3 } from '../support/s3-server.ts'
import { seeded } from '../support/seeded.ts'

const needs = hasDebianPostgres ? '' : ' (needs postgresql-15)'

describe.skipIf(!hasDebianPostgres)(`parts that are elsewhere${needs}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'hf-outside-'))
  const owned = new AsyncDisposableStack()
  owned.defer(() => rmSync(folder, { recursive: true, force: true }))
  afterAll(async () => owned.disposeAsync())

  test('serve, on Debian’s PostgreSQL 15 by DATABASE_URL and with a storage row, backs up what is restored', async () => {
    const database = owned.adopt(await startDebianDatabase(), async (one) => one.close())
    const s3 = owned.adopt(await spawnS3(join(folder, 's3')), async (one) => one.kill())
    await sdkClient(s3.port).send(new CreateBucketCommand({ Bucket: 'vaults' }))
    const endpoint = `http://127.0.0.1:${s3.port}`
    const instance = owned.adopt(
      await startInstance(folder, { databaseUrl: database.url }),
      async (one) => one.close(),
    )
    const place = { name: 'elsewhere', endpoint, region: REGION, bucket: 'vaults', prefix: 'a/b' }
    const added = await instance.call('POST', '/v1/storages', {
      ...place,
      provider: 'other',
      access_key_id: ACCESS_KEY,
      secret_access_key: SECRET,
    })
    const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET }
    const store = openS3Store({ ...place, pathStyle: true, credentials }, true, systemClock)
    owned.defer(() => store.close())
    const chance = seeded('outside postgres')
    const source = makeSource(join(folder, 'source'), chance)
    const at = { storage: (added['data'] as { id: string }).id }
    const agent = await instance.protect('elsewhere', [source.folder], at)
    const other = await instance.protect('other', [join(folder, 'nothing')], at)
    const restored = join(folder, 'out')
    mkdirSync(restored)
    const change = (): void => source.change(chance)
    const setting = {
      instance,
      agent,
      other,
      source: source.folder,
      change,
      store,
      folder: restored,
    }
    expect(await endToEnd(setting)).toEqual([])
    expect(await database.dump()).toContain('CREATE TABLE public.backups')
  })
})
