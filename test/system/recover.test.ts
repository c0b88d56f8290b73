/** The control plane is gone with its catalog: what is left is the bucket, the kit, and the machines with their agents. */
import { randomBytes } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backup } from '#shared/api/backups.ts'
import { holdfast, type Spoken } from '../support/holdfast.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { runOpen } from '../support/run-open.ts'
import { differences, type Fact, snapshot } from '../support/same-tree.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-recover-'))
const [before, after] = [join(folder, 'before'), join(folder, 'after')]
const source = join(folder, 'source')
const data = join(after, 'data')
const bucket = join(data, 's3', 'holdfast')

type Kept = { readonly id: string; readonly facts: ReadonlyMap<string, Fact> }

let kit: string
let agent: Protected
let instance: Instance | null = null
const kept: Kept[] = []
let recovered: Spoken

const backUp = async (at: Instance, jobId: string): Promise<Backup> => {
  const facts = snapshot(source)
  const done = await at.backup(jobId)
  expect(done['status']).toBe('completed')
  kept.push({ id: String(done['id']), facts })
  return done as unknown as Backup
}

const recover = async (): Promise<Spoken> =>
  holdfast({ url: '', token: '', cwd: folder })([
    ...['recover', '--storage', 'embedded', '--identity', kit, '--data', data, '--json'],
  ])

beforeAll(async () => {
  for (const path of [before, data, source]) mkdirSync(path, { recursive: true })
  for (let n = 0; n < 30; n += 1)
    writeFileSync(join(source, `file ${n}`), randomBytes(2000 + 31 * n))
  writeFileSync(join(source, 'large'), randomBytes(5 * 1024 * 1024))
  const first = await startInstance(before)
  kit = first.kit
  agent = await first.protect('machine', [source])
  await backUp(first, agent.jobId)
  appendFileSync(join(source, 'file 3'), 'more')
  await backUp(first, agent.jobId)
  await first.close()
  renameSync(join(first.data, 's3'), join(data, 's3'))
  rmSync(first.data, { recursive: true })
  recovered = await recover()
})

afterAll(async () => {
  await instance?.close()
  rmSync(folder, { recursive: true, force: true })
})

const expectRestored = async ({ id, facts }: Kept): Promise<void> => {
  const target = join(folder, `restored ${id}`)
  const args = [bucket, '--identity', kit, '--backup', id, 'restore', target]
  const { exit, err } = await runOpen(args)
  expect([exit, err]).toEqual([0, err])
  expect(differences(facts, snapshot(join(target, source)))).toEqual([])
}

describe('recover', () => {
  test('finds all of it, and says so', () => {
    expect([recovered.code, recovered.err]).toEqual([0, recovered.err])
    const report = JSON.parse(recovered.out) as Record<string, unknown>
    expect(report).toMatchObject({
      exit_code: 0,
      vaults: [{ backups: 2, problem_count: 0, gaps: [], last: [{ sequence: 2 }] }],
    })
  })

  test('may be done again', async () => {
    const again = await recover()
    expect([again.code, again.err]).toEqual([0, again.err])
  })

  test('brings back lists and files, under the names that they had', async () => {
    instance = await startInstance(after)
    const { data: list } = await instance.call('GET', '/v1/backups?sort=created_at')
    expect((list as Backup[]).map(({ id, sequence }) => [id, sequence])).toEqual(
      kept.map(({ id }, place) => [id, place + 1]),
    )
    const { data: files } = await instance.call(
      'GET',
      `/v1/backups/${kept[0]!.id}/files?path=${encodeURIComponent(source)}`,
    )
    expect(files).toHaveLength(31)
  })

  test('lets the agent go on where it was: it reads and sends what changed, and nothing else', async () => {
    const at = instance!
    const { data: job } = await at.call('GET', `/v1/jobs/${agent.jobId}`)
    const serverId = String((job as Record<string, unknown>)['server_id'])
    const again = await at.enrolAgain({ ...agent, serverId })
    writeFileSync(join(source, 'new'), randomBytes(3000))
    const third = await backUp(at, again.jobId)
    expect(third).toMatchObject({ sequence: 3, counts: { files: 32 } })
    expect(third.bytes.new).toBeLessThan(100_000)
    for (const one of kept) await expectRestored(one)
  })

  test('lets old backups be verified, fetched, and restored by the agent, with the kit', async () => {
    const { url, token } = instance!
    const run = holdfast({ url, token, cwd: folder })
    const { id, facts } = kept[0]!
    const full = await run(['verify', id, '--level', 'full'])
    expect([full.code, full.err]).toEqual([0, full.err])
    for (const command of ['get', 'restore']) {
      const to = join(folder, `${command} ${id}`)
      const said = await run([command, id, '--to', to, '--identity', kit])
      expect([command, said.code, said.err]).toEqual([command, 0, said.err])
      expect(differences(facts, snapshot(join(to, source)))).toEqual([])
    }
  })

  test('works from any S3, and of a spoiled bucket takes what can be believed', async () => {
    const { data: storages } = await instance!.call('GET', '/v1/storages')
    const { endpoint } = (storages as { endpoint: string }[])[0]!
    const credentials = readFileSync(join(data, 's3-credentials'), 'utf8')
    const [, id = ''] = /access_key_id = (.*)/.exec(credentials) ?? []
    const [, secret = ''] = /secret_access_key = (.*)/.exec(credentials) ?? []
    const secretFile = join(folder, 'secret')
    writeFileSync(secretFile, secret)
    const records = readdirSync(bucket, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith(`${kept[1]!.id}.age`),
    )
    const path = join(bucket, records[0]!)
    const bytes = readFileSync(path)
    bytes[bytes.length - 100]! ^= 1
    writeFileSync(path, bytes)
    const third = join(folder, 'third')
    const said = await holdfast({ url: '', token: '', cwd: folder })([
      ...['recover', '--storage', `${endpoint}/holdfast`, '--access-key-id', id],
      ...['--secret-file', secretFile, '--identity', kit, '--data', third],
    ])
    expect([said.code, said.err]).toEqual([3, said.err])
    expect(said.out).toContain('2 backups')
    expect(said.out).toContain(`${kept[1]!.id}.age`)
    expect(said.out).toContain('Nothing of this vault is deleted')
    expect(said.out).not.toContain(secret)
  })

  test('refuses a data folder on which a control plane runs', async () => {
    const busy = await recover()
    expect([busy.code, busy.err]).toEqual([2, expect.stringContaining('runs on this data folder')])
  })
})
