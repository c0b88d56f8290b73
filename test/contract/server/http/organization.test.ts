import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { parseIdentity } from '#shared/format/keys.ts'
import { kitSigningKey, proveKit } from '#shared/format/recovery-kit.ts'
import type { ProjectId } from '#shared/ids.ts'
import { MINUTE } from '#shared/units.ts'
import { dataOf, errorOf, metaOf } from '../../../support/answers.ts'
import { apiForFile } from '../../../support/http-suite.ts'
import { addProject, addServer, addToken, newId, parts } from '../../../support/http-objects.ts'

const { database, api } = apiForFile()

const organization = async () => dataOf(await api.call('GET', '/v1/organization'))
const confirm = async (body: object) =>
  api.call('POST', '/v1/organization/recovery/confirm', { body })

/** The same text with another first letter; the last ones of a signature are often the same. */
const otherwise = (text: string): string => `${text.startsWith('B') ? 'C' : 'B'}${text.slice(1)}`

describe('the organization', () => {
  test('shows its name, its limits and the public halves of its recovery kit', async () => {
    expect(await organization()).toMatchObject({
      id: api.kit.organizationId,
      name: 'default',
      limits: { max_projects: null, max_servers: null, max_jobs: null, max_tokens: null },
      recovery: {
        recipient: parseIdentity(api.kit.identity).recipient.text,
        signing_key: kitSigningKey(api.kit),
        confirmed_at: null,
      },
    })
  })

  test('changes its name and each limit apart', async () => {
    const path = '/v1/organization'
    const change = async (body: object) => api.call('PATCH', path, { body })
    expect(dataOf(await change({ name: 'Acme' }))['name']).toBe('Acme')
    await change({ limits: { max_servers: 5000 } })
    const both = dataOf(await change({ limits: { max_jobs: 7000 } }))
    expect(both['limits']).toMatchObject({ max_servers: 5000, max_jobs: 7000, max_tokens: null })
    const one = dataOf(await change({ limits: { max_servers: null } }))
    expect(one['limits']).toMatchObject({ max_servers: null, max_jobs: 7000 })
    await change({ limits: { max_jobs: null } })
    for (const [field, body] of [
      ['name', { name: ' ' }],
      ['limits.max_servers', { limits: { max_servers: -1 } }],
      ['limits.max_users', { limits: { max_users: 1 } }],
      ['recovery', { recovery: {} }],
    ] as const) {
      const refused = await change(body)
      expect([refused.status, errorOf(refused).details['field']]).toEqual([400, field])
    }
  })

  test('is not for a token of a project to change', async () => {
    const token = await addToken(
      { database },
      { project: (await addProject(api, 'org')) as ProjectId },
    )
    const refused = await api.call('PATCH', '/v1/organization', { token, body: { name: 'mine' } })
    expect(refused.status).toBe(403)
    expect((await api.call('GET', '/v1/organization', { token })).status).toBe(200)
  })

  test('has at most so many of each as its limits say, whoever adds at once', async () => {
    const [row] = await database.sql.unsafe<Record<string, number>[]>(`select
      (select count(*) from projects)::int as projects, (select count(*) from servers)::int as servers,
      (select count(*) from tokens)::int as tokens, (select count(*) from jobs)::int as jobs`)
    const limits = Object.fromEntries(
      Object.entries(row!).map(([what, count]) => [`max_${what}`, count + 1]),
    )
    const server = await addServer(api, 'of the limits')
    await api.call('PATCH', '/v1/organization', { body: { limits } })
    const job = {
      server_id: server,
      ...(await parts(api)),
      sources: [{ type: 'files', paths: ['/'] }],
    }
    for (const [what, body, room] of [
      ['projects', {}, 1],
      ['servers', { type: 'agent' }, 0],
      ['tokens', { scopes: ['read'] }, 1],
      ['jobs', job, 1],
    ] as const) {
      const answers = await Promise.all(
        Array.from({ length: 5 }, async (_, n) =>
          api.call('POST', `/v1/${what}`, { body: { name: `limited ${n}`, ...body } }),
        ),
      )
      const made = answers.filter((answer) => answer.status === 201)
      expect([what, made.length]).toEqual([what, room])
      const refused = answers.find((answer) => answer.status !== 201)!
      expect([refused.status, errorOf(refused).code]).toEqual([422, 'LIMIT_EXCEEDED'])
      expect(errorOf(refused).details).toEqual({ limit: limits[`max_${what}`], what })
    }
    await api.call('PATCH', '/v1/organization', {
      body: { limits: { max_projects: null, max_servers: null, max_tokens: null, max_jobs: null } },
    })
  })
})

describe('the recovery kit', () => {
  test('is confirmed by whoever has it, and that is kept in the audit log', async () => {
    const confirmed = await confirm(proveKit(api.kit, Date.now()))
    expect(confirmed.status).toBe(200)
    const at = (dataOf(confirmed)['recovery'] as Record<string, unknown>)['confirmed_at']
    expect(Math.abs(Date.parse(String(at)) - Date.now())).toBeLessThan(MINUTE)
    expect((await organization())['recovery']).toMatchObject({ confirmed_at: at })
    const me = dataOf(await api.call('GET', '/v1/me'))
    expect(me['organization']).toMatchObject({ recovery: { confirmed_at: at } })
    const deeds = await database.db
      .selectFrom('audit_log')
      .where('action', '=', 'recovery-kit.confirmed')
      .select(['actor', 'subject_id'])
      .execute()
    expect(deeds).toMatchObject([{ actor: { name: 'local' }, subject_id: api.kit.organizationId }])
  })

  test('is not confirmed by another kit, for another organization, for another time, or too late', async () => {
    const now = Date.now()
    const proof = proveKit(api.kit, now)
    const other = { ...api.kit, signingSeed: randomBytes(32) }
    for (const [field, body] of [
      ['signature', proveKit(other, now)],
      ['signature', proveKit({ ...api.kit, organizationId: newId() }, now)],
      ['signature', { ...proof, time: now - 1 }],
      ['signature', { ...proof, signature: otherwise(proof.signature) }],
      ['signature', { ...proof, signature: 'short' }],
      ['time', proveKit(api.kit, now - 16 * MINUTE)],
      ['time', proveKit(api.kit, now + 16 * MINUTE)],
      ['time', { ...proof, time: 1.5 }],
    ] as const) {
      const refused = await confirm(body)
      expect([refused.status, errorOf(refused).details['field']]).toEqual([400, field])
    }
    const reader = await addToken({ database }, { scopes: ['read'] })
    const path = '/v1/organization/recovery/confirm'
    expect((await api.call('POST', path, { body: proof, token: reader })).status).toBe(403)
  })

  test('has a public page: where the vaults are, and by what they are recognised', async () => {
    const project = (await addProject(api, 'recovery')) as ProjectId
    const pair = await parts(api)
    const servers: string[] = []
    for (const [n, where] of [{}, { project_id: project }].entries()) {
      const server = await addServer(api, `of the page ${n}`, where)
      servers.push(server)
      const path = `/v1/servers/${server}/enrollment-tokens`
      expect((await api.call('POST', path, { body: { vaults: [pair] } })).status).toBe(201)
    }
    const fingerprint = randomBytes(32)
    await database.db
      .updateTable('vaults')
      .set({ genesis: randomBytes(10), genesis_fingerprint: fingerprint })
      .where('server_id', '=', servers[1] as never)
      .execute()
    const answer = await api.call('GET', '/v1/organization/recovery')
    const page = dataOf(answer)
    expect(page).toMatchObject({
      organization_id: api.kit.organizationId,
      storages: [{ name: 'local', bucket: 'holdfast', endpoint: 'http://127.0.0.1:8421' }],
      vaults: [
        {
          server_id: servers[1],
          server: 'of the page 1',
          ...pair,
          genesis_fingerprint: fingerprint.toString('base64url'),
        },
        { server_id: servers[0], genesis_fingerprint: null },
      ],
    })
    expect(JSON.stringify(page)).not.toMatch(/canary|sealed|AGE-SECRET/)
    expect(metaOf(answer)['total']).toBe(2)
    const first = await api.call('GET', '/v1/organization/recovery?limit=1')
    const cursor = encodeURIComponent(String(metaOf(first)['next_cursor']))
    const second = await api.call('GET', `/v1/organization/recovery?limit=1&cursor=${cursor}`)
    expect(dataOf(second)['vaults']).toMatchObject([{ server_id: servers[0] }])
    const token = await addToken({ database }, { project })
    const own = dataOf(await api.call('GET', '/v1/organization/recovery', { token }))
    expect(own['vaults']).toMatchObject([{ server_id: servers[1] }])
  })
})
