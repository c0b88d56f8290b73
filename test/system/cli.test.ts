import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Backup } from '#shared/api/backups.ts'
import type { GcReport } from '#shared/api/gc.ts'
import type { Verification } from '#shared/api/verifications.ts'
import { makeIdentity } from '#shared/format/keys.ts'
import { holdfast, type Spoken } from '../support/holdfast.ts'
import { type Instance, type Protected, startInstance } from '../support/instance.ts'
import { sameTree } from '../support/same-tree.ts'
import { seeded } from '../support/seeded.ts'
import { eventually } from '../support/wait.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-cli-'))
const source = join(folder, 'source')
let instance: Instance
let managed: Protected
let run: (args: readonly string[], input?: string) => Promise<Spoken>

const lastJson = ({ out }: Spoken): unknown => JSON.parse(out.trim().split('\n').at(-1) ?? '')

const backUp = async (job: string): Promise<Backup> => {
  const said = await run(['backup', job, '--json'])
  expect(said).toMatchObject({ code: 0 })
  return lastJson(said) as Backup
}

beforeAll(async () => {
  mkdirSync(join(source, 'below'), { recursive: true })
  writeFileSync(join(source, 'a file'), 'one')
  writeFileSync(join(source, 'below', 'large.bin'), seeded('cli').bytes(3_000_000))
  writeFileSync(join(source, 'below', 'ä\n.txt'), 'two')
  instance = await startInstance(folder)
  managed = await instance.protect('web1', [source])
  run = holdfast({ url: instance.url, token: instance.token, cwd: folder })
})

afterAll(async () => {
  await instance.close()
  rmSync(folder, { recursive: true, force: true })
})

test('a job is backed up by its name, and the backup is found again in the list', async () => {
  const backup = await backUp('web1')
  expect(backup.status).toBe('completed')
  const list = await run(['backups', '--job', 'web1'])
  expect(list.out).toContain(backup.id)
  for (const line of list.out.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  expect((lastJson(await run(['backups', '--json'])) as Backup[]).map(({ id }) => id)).toEqual([
    backup.id,
  ])
})

test('a folder of a backup is listed, and searched; names cannot move the cursor of a terminal', async () => {
  const listed = await run(['ls', 'web1', join(source, 'below')])
  expect(listed.out).toContain('large.bin')
  expect(listed.out.trim().split('\n')).toHaveLength(2)
  const found = await run(['ls', 'latest', '--search', 'LARGE', '--json'])
  expect((lastJson(found) as { path: string }).path).toBe(join(source, 'below', 'large.bin'))
})

test('files are fetched to this machine and are what they were', async () => {
  const to = join(folder, 'got')
  expect(await run(['get', 'web1', join(source, 'below'), '--to', to])).toMatchObject({ code: 0 })
  expect(sameTree(join(source, 'below'), join(to, source, 'below'))).toEqual([])
  expect(readdirSync(join(to, source))).toEqual(['below'])
})

test('a backup is verified to its last byte, by the control plane or here', async () => {
  const said = await run(['verify', 'web1'])
  expect(said).toMatchObject({ code: 0 })
  expect(said.out).toContain('all of it can be restored')
  const here = await run(['verify', 'web1', '--local'])
  expect(here).toMatchObject({ code: 0 })
  expect(here.out).toContain('3 files')
  const file = await run(['verify', 'web1', join(source, 'a file')])
  expect(file).toMatchObject({ code: 0 })
  expect(file.out).toContain('1 file')
})

test('damage is named, and the exit code says so', async () => {
  const files = readdirSync(join(instance.data, 's3'), { recursive: true, withFileTypes: true })
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name))
  const pack = files.toSorted((a, b) => statSync(b).size - statSync(a).size)[0]!
  const good = readFileSync(pack)
  const bad = Buffer.from(good)
  bad[Math.floor(bad.length / 2)]! ^= 1
  writeFileSync(pack, bad)
  const said = await run(['verify', 'web1'])
  expect(said).toMatchObject({ code: 7 })
  expect(said.out).toContain(`! ${join(source, 'below', 'large.bin')}: `)
  const json = await run(['verify', 'web1', '--json'])
  expect(json).toMatchObject({ code: 7 })
  const { result, backup_id } = lastJson(json) as Verification
  expect(result).toMatchObject({ status: 'failed', problem_count: 1 })
  const backup = (await instance.call('GET', `/v1/backups/${backup_id}`)) as { data: Backup }
  expect(backup.data.last_verified.restore?.status).toBe('failed')
  expect(await run(['verify', 'web1', '--local'])).toMatchObject({ code: 7 })
  const full = await run(['verify', 'web1', '--level', 'full'])
  expect(full).toMatchObject({ code: 7 })
  expect(full.out).toContain(`needed by ${join(source, 'below', 'large.bin')}`)
  writeFileSync(pack, good)
  for (const level of ['objects', 'sample', 'full', 'restore'])
    expect(await run(['verify', 'web1', '--level', level])).toMatchObject({ code: 0 })
})

test('files are restored by the agent into another folder of the server', async () => {
  const to = join(folder, 'restored')
  const said = await run(['restore', 'web1', '--to', to])
  expect(said).toMatchObject({ code: 0 })
  expect(sameTree(source, join(to, source))).toEqual([])
})

test('what nothing needs once a backup is deleted is condemned, and gc says so', async () => {
  // What lies in a pack of its own.
  await backUp('web1')
  const extra = join(source, 'extra')
  writeFileSync(extra, seeded('extra').bytes(1_000_000))
  const { id } = await backUp('web1')
  rmSync(extra)
  await backUp('web1')
  const dryRun = async (): Promise<GcReport> =>
    lastJson(await run(['gc', '--dry-run', '--json'])) as GcReport
  expect((await dryRun()).condemn.bytes).toBe(0)
  // Nobody is there to be asked.
  expect(await run(['delete', id])).toMatchObject({ code: 2 })
  expect(lastJson(await run(['delete', id, '--yes', '--json']))).toEqual({ id, deleted: true })
  expect((await run(['undelete', id])).out).toContain(id)
  expect((await run(['delete', id, '--yes'])).out).toContain(`holdfast undelete ${id}`)
  const begun = await run(['gc'])
  expect(begun).toMatchObject({ code: 0 })
  expect(begun.out + begun.err).toContain('nothing is downloaded')
  const { waiting, needed } = await eventually('it is condemned', async () => {
    const report = await dryRun()
    return report.waiting.bytes > 1_000_000 ? report : null
  })
  expect(waiting.bytes).toBeLessThan(1_500_000)
  expect(needed.bytes).toBeGreaterThan(3_000_000)
  const shown = await run(['gc', '--dry-run'])
  for (const line of shown.out.split('\n')) expect(line.length).toBeLessThanOrEqual(110)
})

test('a token can do what it was made for, until it is revoked', async () => {
  const made = lastJson(await run(['token', 'create', 'reader', '--scope', 'read', '--json'])) as {
    id: string
    token: string
  }
  const reader = holdfast({ url: instance.url, token: made.token, cwd: folder })
  expect(await reader(['backups'])).toMatchObject({ code: 0 })
  expect(await reader(['backup', 'web1'])).toMatchObject({ code: 4 })
  expect(await run(['token', 'revoke', made.id])).toMatchObject({ code: 0 })
  expect(await reader(['backups'])).toMatchObject({ code: 4 })
})

test('the recovery kit is confirmed by whoever has it, and its page names every vault', async () => {
  expect((await run(['keys', 'kit'])).out).toContain('kit confirmed      NO')
  expect(await run(['keys', 'confirm', '--kit', instance.kit])).toMatchObject({ code: 0 })
  const { out } = await run(['keys', 'kit'])
  expect(out).not.toContain('kit confirmed      NO')
  expect(out).toMatch(/vault \S+ of web1\n( +[0-9a-f]{4}){16}\n/)
})

test('what is wrong is said in a line, and the exit code tells the kind', async () => {
  const missing = await run(['backup', 'no such job'])
  expect(missing).toMatchObject({ code: 5, out: '' })
  expect(missing.err).toContain('no such job')
  expect(await run(['restore', 'web1', '--to', 'relative'])).toMatchObject({ code: 2 })
  expect(await run(['ls', 'web1', '--url', 'http://127.0.0.1:1'])).toMatchObject({ code: 6 })
  expect(await run(['nonsense'])).toMatchObject({ code: 2 })
})

test('what only a customer can open is fetched, verified and restored with the identity, and not without', async () => {
  const identity = makeIdentity(seeded('customer').bytes(32))
  const file = join(folder, 'identity.txt')
  writeFileSync(file, `${identity.text}\n`, { mode: 0o600 })
  const key = (await instance.call('POST', '/v1/encryption-keys', {
    name: 'theirs',
    type: 'customer',
    recipient: identity.recipient.text,
  })) as { data: { id: string } }
  await instance.protect('web2', [source], { key: key.data.id })
  await backUp('web2')
  expect((await run(['ls', 'web2', join(source, 'below')])).out).toContain('large.bin')
  expect(await run(['get', 'web2', '--to', join(folder, 'no')])).toMatchObject({ code: 4 })
  const to = join(folder, 'theirs')
  const got = await run(['get', 'web2', join(source, 'below'), '--to', to, '--identity', file])
  expect(got).toMatchObject({ code: 0 })
  expect(sameTree(join(source, 'below'), join(to, source, 'below'))).toEqual([])
  expect(await run(['verify', 'web2'])).toMatchObject({ code: 4 })
  expect(await run(['verify', 'web2', '--identity', file])).toMatchObject({ code: 0 })
  const back = join(folder, 'theirs-restored')
  const restored = await run(['restore', 'web2', '--to', back, '--identity', file])
  expect(restored).toMatchObject({ code: 0 })
  expect(sameTree(source, join(back, source))).toEqual([])
}, 120_000)

test('an open request is shown to the key’s holder, who may say no', async () => {
  const file = join(folder, 'identity.txt')
  const said = await run([
    'restore',
    'web2',
    join(source, 'a file'),
    '--to',
    join(folder, 'held'),
    '--no-wait',
    '--json',
  ])
  const { open_request_id: request } = lastJson(said) as { open_request_id: string }
  expect((await run(['keys', 'requests'])).out).toContain(request)
  const refused = await run(['keys', 'approve', request, '--identity', file], 'n\n')
  expect(refused).toMatchObject({ code: 1 })
  expect(refused.out).toContain(join(source, 'a file'))
  expect(await run(['keys', 'approve', request, '--identity', file], 'y\n')).toMatchObject({
    code: 0,
  })
  expect(managed.serverId).not.toBe('')
}, 60_000)
