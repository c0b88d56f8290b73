import { randomBytes } from 'node:crypto'
import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { parseIdentity, recipientsFingerprint, type RecipientSet } from '#shared/format/keys.ts'
import { dataOf, errorOf, rowsOf } from '../../../support/answers.ts'
import { EMBEDDED } from '../../../support/http-app.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addJob, addServer, newId, parts } from '../../../support/http-objects.ts'
import { ACCESS_KEY, SECRET, startS3 } from '../../../support/s3-server.ts'

const { database, api } = apiForFile()

describe('servers, jobs and backups', () => {
  test('a new server is pending, and its enrolment token is shown once and kept as a hash', async () => {
    const server = await addServer(api, 'fresh')
    const found = dataOf(await api.call('GET', `/v1/servers/${server}`))
    expect(found).toMatchObject({ status: 'pending', facts: null, environment: 'production' })
    const answer = await api.call('POST', `/v1/servers/${server}/enrollment-tokens`, {
      body: { expires_in: '2h' },
    })
    expect(answer.status).toBe(201)
    const { token, command, expires_at, vaults } = dataOf(answer)
    expect(command).toContain(token)
    expect(vaults).toEqual([])
    const inHours = (Date.parse(String(expires_at)) - Date.now()) / 3_600_000
    expect(inHours).toBeGreaterThan(1.9)
    expect(inHours).toBeLessThan(2.1)
    const kept = await database.db
      .selectFrom('enrollment_tokens')
      .selectAll()
      .where('id', '=', String(dataOf(answer)['id']) as never)
      .executeTakeFirstOrThrow()
    expect(JSON.stringify(kept)).not.toContain(token)
  })

  test('an enrolment names the recipients of each vault, with the fingerprint that the person confirms', async () => {
    const server = await addServer(api, 'with a vault')
    const path = `/v1/servers/${server}/enrollment-tokens`
    const pair = await parts(api)
    const first = dataOf(await api.call('POST', path, { body: { vaults: [pair] } }))
    const [vault] = first['vaults'] as {
      id: string
      recipients: RecipientSet
      fingerprint: string
    }[]
    expect(vault).toMatchObject(pair)
    const { recipients } = vault!
    expect(vault!.fingerprint).toBe(recipientsFingerprint(recipients))
    expect(first['command']).toContain(` --confirm=${vault!.fingerprint}`)
    const used = rowsOf(await api.call('GET', '/v1/encryption-keys')).find(
      (row) => row['id'] === pair.encryption_key_id,
    )
    expect(recipients.content).toEqual([used!['recipient']])
    expect(recipients.recovery).toEqual([parseIdentity(api.kit.identity).recipient.text])
    expect(recipients.list).toHaveLength(1)
    const second = dataOf(await api.call('POST', path, { body: { vaults: [pair] } }))
    expect(second['vaults']).toEqual(first['vaults'])
    const missing = await api.call('POST', path, {
      body: { vaults: [{ ...pair, storage_id: newId() }] },
    })
    expect([missing.status, errorOf(missing).details['resource']]).toEqual([404, 'storage'])
  })

  test('an enrolment may last from a minute to a week', async () => {
    const server = await addServer(api, 'durations')
    for (const [given, status] of [
      ['P7D', 201],
      ['1w', 201],
      [60, 201],
      ['P8D', 400],
      [59, 400],
      ['soon', 400],
    ] as const) {
      const answer = await api.call('POST', `/v1/servers/${server}/enrollment-tokens`, {
        body: { expires_in: given },
      })
      expect([given, answer.status]).toEqual([given, status])
    }
  })

  test('a job comes back as it was given, as version 1, and is found by its filters', async () => {
    const { job, server } = await addJob(api, 'as given')
    const found = dataOf(await api.call('GET', `/v1/jobs/${job}`))
    expect(found).toMatchObject({
      name: 'as given',
      version: 1,
      sources: [{ type: 'files', paths: ['/etc'], exclude: ['*.tmp'] }],
    })
    const list = await api.call('GET', `/v1/jobs?server_id=${server}`)
    expect(rowsOf(list).map((row) => row['id'])).toEqual([job])
  })

  test('a backup starts as pending and wakes the dispatcher; a second one meets the first', async () => {
    const { job, server } = await addJob(api, 'started')
    const woken = api.woken()
    const started = await api.call('POST', `/v1/jobs/${job}/backups`, {
      body: { description: 'before the upgrade' },
    })
    expect(started.status).toBe(202)
    expect(api.woken()).toBe(woken + 1)
    const backup = dataOf(started)
    expect(backup).toMatchObject({
      name: 'Manual backup',
      description: 'before the upgrade',
      status: 'pending',
      trigger: 'manual',
      triggered_by: { name: 'local' },
      job_id: job,
      server_id: server,
    })
    const second = await api.call('POST', `/v1/jobs/${job}/backups`, { body: {} })
    expect(second.status).toBe(409)
    expect(errorOf(second)).toMatchObject({
      code: 'OPERATION_IN_PROGRESS',
      details: { id: backup['id'] },
    })
    expect(api.woken()).toBe(woken + 1)
    const progress = dataOf(await api.call('GET', `/v1/backups/${String(backup['id'])}/progress`))
    expect(progress).toMatchObject({ status: 'pending', phase: 'waiting', completed_steps: 0 })
  })

  test('of twenty that start one job at once, one does', async () => {
    const { job } = await addJob(api, 'raced')
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => api.call('POST', `/v1/jobs/${job}/backups`)),
    )
    const statuses = answers.map((answer) => answer.status).toSorted()
    expect(statuses).toEqual([202, ...Array.from({ length: 19 }, () => 409)])
  })

  test('backups are filtered by job, server and status', async () => {
    const { job, server } = await addJob(api, 'filtered')
    const started = dataOf(await api.call('POST', `/v1/jobs/${job}/backups`))
    for (const query of [`job_id=${job}`, `server_id=${server}`, `job_id=${job}&status=pending`]) {
      const rows = rowsOf(await api.call('GET', `/v1/backups?${query}`))
      expect(rows.map((row) => row['id'])).toEqual([started['id']])
    }
    const none = await api.call('GET', `/v1/backups?job_id=${job}&status=completed`)
    expect(rowsOf(none)).toEqual([])
    for (const sort of ['name', '-status', 'size_bytes', '-completed_at', 'created_at'])
      expect((await api.call('GET', `/v1/backups?sort=${sort}&limit=1`)).status).toBe(200)
  })
})

describe('secrets', () => {
  test('credentials are write-only, and neither they nor identities stand in the database in the clear', async () => {
    const canary = `canary-${randomBytes(12).toString('hex')}`
    const s3 = await startS3(
      {},
      new Map([
        [ACCESS_KEY, SECRET],
        [EMBEDDED.access_key_id, canary],
      ]),
    )
    await s3.client().send(new CreateBucketCommand({ Bucket: EMBEDDED.bucket }))
    const sealed = { ...EMBEDDED, name: 'sealed', endpoint: s3.endpoint, secret_access_key: canary }
    const added = await api.call('POST', '/v1/storages', { body: sealed })
    expect(added.status).toBe(201)
    await s3.close()
    const managed = await api.call('POST', '/v1/encryption-keys', {
      body: { name: 'sealed', type: 'managed' },
    })
    const list = await api.call('GET', '/v1/storages')
    for (const answer of [added, list, managed])
      expect(JSON.stringify(answer.body)).not.toMatch(/canary|SECRET|credential|sealed_/)

    const tables = await database.sql.unsafe<{ name: string }[]>(
      `select table_name as name from information_schema.tables where table_schema = 'public'`,
    )
    let dump = ''
    for (const { name } of tables) {
      const rows = await database.sql.unsafe<{ row: string }[]>(
        `select row_to_json(t)::text || coalesce(encode(convert_to(t::text, 'UTF8'), 'escape'), '') as row from "${name}" t`,
      )
      dump += rows.map(({ row }) => row).join('\n')
    }
    expect(dump.length).toBeGreaterThan(1000)
    const hex = (text: string): string => Buffer.from(text).toString('hex')
    const [row] = await database.db
      .selectFrom('storages')
      .where('name', '=', 'sealed')
      .selectAll()
      .execute()
    const opened = api.sealing.open(`storages/${row!.id}/credentials`, row!.sealed_credentials)
    expect(Buffer.from(opened).toString()).toContain(canary)
    for (const secret of [
      canary,
      EMBEDDED.secret_access_key,
      EMBEDDED.access_key_id,
      api.token,
      api.kit.identity,
      parseIdentity(api.kit.identity).secretKey,
      api.kit.signingSeed,
    ]) {
      const text = typeof secret === 'string' ? secret : Buffer.from(secret).toString('base64url')
      const bytes = typeof secret === 'string' ? hex(secret) : Buffer.from(secret).toString('hex')
      expect(dump.includes(text)).toBe(false)
      expect(dump.includes(bytes)).toBe(false)
    }
    expect(dump).not.toContain('AGE-SECRET-KEY')
    expect(dump).not.toContain(hex('AGE-SECRET-KEY'))
  })

  test('a sealed secret does not open in another place', async () => {
    const rows = await database.db.selectFrom('storages').selectAll().execute()
    expect(rows.length).toBeGreaterThan(1)
    expect(() =>
      api.sealing.open(`storages/${rows[0]!.id}/credentials`, rows[1]!.sealed_credentials),
    ).toThrow()
  })
})
