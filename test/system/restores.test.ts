import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Parts } from '#shared/api/downloads.ts'
import type { Restore } from '#shared/api/restores.ts'
import { boxPublicKey, makeIdentity, verifySignature } from '#shared/format/keys.ts'
import { openProof } from '#shared/protocol/restore-orders.ts'
import { KiB, MiB } from '#shared/units.ts'
import { freePort } from '../support/free-port.ts'
import { approvalOf, approve, requestOf } from '../support/approving.ts'
import { ended, type Instance, type Protected, startInstance } from '../support/instance.ts'
import { differences, snapshot } from '../support/same-tree.ts'
import { eventually } from '../support/wait.ts'

const folder = mkdtempSync(join(tmpdir(), 'hf-restores-'))
const source = join(folder, 'source')
const FOLDERS = 60
const FILES = 50

let instance: Instance
let one: Protected
let two: Protected
let backup: string
let facts: ReturnType<typeof snapshot>

/** Many small files, some of the size of a frame, one of several pieces; each with content of its own. */
const fill = (): void => {
  for (let f = 0; f < FOLDERS; f += 1) {
    const at = join(source, `folder ${String(f).padStart(2, '0')}`)
    mkdirSync(at, { recursive: true })
    for (let i = 0; i < FILES; i += 1)
      writeFileSync(join(at, `file ${String(i).padStart(2, '0')}`), randomBytes(4 * KiB + i * 100))
    writeFileSync(join(at, 'large'), randomBytes(300 * KiB))
  }
  writeFileSync(join(source, 'huge'), randomBytes(9 * MiB))
}

type Data = Record<string, unknown>
const dataOf = (answer: Data): Data => answer['data'] as Data

beforeAll(async () => {
  fill()
  // Kept over a restart, as URLs that agents hold name it.
  const s3Port = String(await freePort())
  instance = await startInstance(folder, {
    env: { HOLDFAST_PORT: '0', HOLDFAST_S3_PORT: s3Port },
  })
  one = await instance.protect('one', [source])
  two = await instance.protect('two', [join(folder, 'nothing')])
  facts = snapshot(source)
  const done = await instance.backup(one.jobId)
  expect(done['status']).toBe('completed')
  backup = String(done['id'])
})
afterAll(async () => {
  await instance.close()
  rmSync(folder, { recursive: true, force: true })
})

let targets = 0
const freshTarget = (): string => {
  targets += 1
  return join(folder, `restored-${targets}`)
}

const restoreOf = async (id: string): Promise<Restore> =>
  dataOf(await instance.call('GET', `/v1/restores/${id}`)) as unknown as Restore

const ask = async (of: string, target: string, body: object = {}): Promise<Restore> => {
  const answer = await instance.call('POST', `/v1/backups/${of}/restore`, {
    compute: { type: 'agent', server_id: two.serverId },
    target_path: target,
    ...body,
  })
  return dataOf(answer) as unknown as Restore
}

const over = async (id: string): Promise<Restore> =>
  eventually(`the end of restore ${id}`, async () => {
    const restore = await restoreOf(id)
    return ['pending', 'running'].includes(restore.status) ? null : restore
  })

const restored = (target: string): ReturnType<typeof snapshot> => snapshot(join(target, source))

/** Files that stand under their names. */
const countIn = (target: string): number => {
  const at = join(target, source)
  if (!existsSync(at)) return 0
  const found = readdirSync(at, { recursive: true, withFileTypes: true })
  return found.filter((e) => e.isFile() && /^(file \d\d|large|huge)$/.test(e.name)).length
}

/** The agent stands still in the middle of a restore: some files are there, not all. */
const stopInTheMiddle = async (target: string): Promise<void> => {
  await eventually('some restored files', () => countIn(target) > 20)
  two.agent.kill('SIGSTOP')
  expect(countIn(target)).toBeLessThan(FOLDERS * (FILES + 1) + 1)
}

describe('a restore onto another server', () => {
  test('of everything brings everything', async () => {
    const target = freshTarget()
    const restore = await over((await ask(backup, target)).id)
    expect(restore).toMatchObject({ status: 'completed', error: null, phase: 'done' })
    expect(restore.counts).toMatchObject({ files: FOLDERS * (FILES + 1) + 1, failed: 0 })
    expect(differences(facts, restored(target))).toEqual([])
    const seen = dataOf(await instance.call('GET', `/v1/backups/${backup}`))
    expect(seen['operations']).toMatchObject([
      { type: 'create', status: 'completed' },
      { type: 'restore', status: 'completed' },
    ])
  })

  test('of 100 chosen files fetches little more than the frames that hold them', async () => {
    const chosen = Array.from({ length: 100 }, (_, i) => {
      const at = `folder ${String((i % 4) * 13).padStart(2, '0')}`
      return join(source, at, `file ${String(Math.floor(i / 4)).padStart(2, '0')}`)
    })
    const target = freshTarget()
    const { id } = await ask(backup, target, { files: chosen })
    const restore = await over(id)
    expect(restore).toMatchObject({ status: 'completed', counts: { files: 100, failed: 0 } })
    const there = restored(target)
    const wanted = [...facts].filter(([path]) => chosen.includes(join(source, path)))
    expect(wanted).toHaveLength(100)
    for (const [path, fact] of wanted) expect(there.get(path)).toEqual(fact)
    expect([...there.values()].filter(({ type }) => type === 'file')).toHaveLength(100)
    const answer = await instance.call('POST', `/v1/backups/${backup}/download`, {
      format: 'parts',
      files: chosen,
      opener_key: Buffer.from(boxPublicKey(randomBytes(32))).toString('base64url'),
    })
    const frames = new Map<string, number>()
    for (const { content } of (dataOf(answer) as unknown as Parts).files)
      for (const [pack, offset, length] of content) frames.set(`${pack} ${offset}`, length)
    const needed = [...frames.values()].reduce((sum, length) => sum + length, 0)
    expect(needed).toBeGreaterThan(100 * 4 * KiB)
    expect(restore.bytes.fetched).toBeLessThanOrEqual(1.5 * needed)
    expect(restore.bytes.fetched).toBeGreaterThanOrEqual(needed)
  })

  test('refuses to overwrite, unless it is told to', async () => {
    const target = freshTarget()
    const files = [join(source, 'folder 00')]
    const at = join(target, source, 'folder 00')
    mkdirSync(at, { recursive: true })
    writeFileSync(join(at, 'file 00'), 'precious')
    const refused = await over((await ask(backup, target, { files })).id)
    expect(refused).toMatchObject({ status: 'failed', error: { code: 'CONFLICT' } })
    expect(readdirSync(at)).toEqual(['file 00'])
    const written = await over((await ask(backup, target, { files, conflict: 'overwrite' })).id)
    expect(written).toMatchObject({ status: 'completed' })
    const there = restored(target)
    for (const name of readdirSync(at))
      expect(there.get(`/folder 00/${name}`)).toEqual(facts.get(`/folder 00/${name}`))
  })
})

describe('in the middle of a restore', () => {
  test('the control plane can be killed and started again: it goes on to its end', async () => {
    const target = freshTarget()
    const { id } = await ask(backup, target)
    await stopInTheMiddle(target)
    await instance.end('SIGKILL')
    await instance.start()
    expect((await restoreOf(id)).status).toBe('running')
    two.agent.kill('SIGCONT')
    expect(await over(id)).toMatchObject({ status: 'completed', error: null })
    expect(differences(facts, restored(target))).toEqual([])
  })

  test('it can be canceled: what stands under its name is whole', async () => {
    const target = freshTarget()
    const { id } = await ask(backup, target)
    await stopInTheMiddle(target)
    await instance.call('POST', `/v1/restores/${id}/cancel`)
    two.agent.kill('SIGCONT')
    const canceled = await over(id)
    expect(canceled).toMatchObject({ status: 'canceled', error: { code: 'CANCELED' } })
    const there = restored(target)
    // A temporary name is no file's name: one may be left where a thread was stopped.
    const files = [...there].filter(
      ([path, { type }]) => type === 'file' && !path.includes('/.holdfast-'),
    )
    expect(files.length).toBeGreaterThan(0)
    expect(files.length).toBeLessThan(FOLDERS * (FILES + 1) + 1)
    expect(files.map(([path]) => path).filter((path) => !facts.has(path))).toEqual([])
    for (const [path, { sha256 }] of files) expect(sha256).toBe(facts.get(path)?.['sha256'])
  })

  test('the agent can die: the restore is lost, and says so', async () => {
    const target = freshTarget()
    const { id } = await ask(backup, target)
    await stopInTheMiddle(target)
    two.agent.kill('SIGKILL')
    await ended(two.agent)
    two.startAgent()
    expect(await over(id)).toMatchObject({ status: 'failed', error: { code: 'RUN_LOST' } })
    const again = await over((await ask(backup, target, { conflict: 'overwrite' })).id)
    expect(again).toMatchObject({ status: 'completed' })
    expect(differences(facts, restored(target))).toEqual([])
  })
})

describe('with a customer’s key', () => {
  test('a restore waits for the approval, and the agent signs that it asks', async () => {
    const identity = makeIdentity(randomBytes(32))
    const key = dataOf(
      await instance.call('POST', '/v1/encryption-keys', {
        name: 'of the customer',
        type: 'customer',
        recipient: identity.recipient.text,
      }),
    )
    const three = await instance.protect('three', [source], { key: String(key['id']) })
    const made = String((await instance.backup(three.jobId))['id'])
    const target = freshTarget()
    const files = [join(source, 'folder 01'), `${source}/folder 02/file 0*`]
    const restore = await ask(made, target, { files })
    const request = String(restore.open_request_id)
    const api = {
      call: async (method: string, url: string, options: { readonly body?: unknown } = {}) => ({
        status: 200,
        headers: {},
        body: await instance.call(method === 'GET' ? 'GET' : 'POST', url, options.body),
      }),
    }
    const known = await eventually('the signature of the agent', async () => {
      const seen = await requestOf(api, request)
      return seen.opener.signature === undefined ? null : seen
    })
    const { opener } = known
    const proof = openProof(
      {
        request,
        purpose: 'restore',
        backup: made,
        packs_sha256: known.packs_sha256,
        expires_at: Date.parse(known.expires_at),
      },
      opener.key,
    )
    const bytes = (text = ''): Uint8Array => Buffer.from(text, 'base64url')
    expect(verifySignature(bytes(opener.signing_key), proof, bytes(opener.signature))).toBe(true)
    expect((await restoreOf(restore.id)).status).toBe('pending')
    await approve(api, request, await approvalOf(api, request, identity))
    expect(await over(restore.id)).toMatchObject({ status: 'completed', error: null })
    const there = restored(target)
    const wanted = [...facts.keys()].filter((path) =>
      /^\/(folder 01(\/.*)?|folder 02\/file 0\d)$/.test(path),
    )
    expect(wanted).toHaveLength(1 + FILES + 1 + 10)
    for (const path of wanted) expect(there.get(path)).toEqual(facts.get(path))
    expect(there.size).toBe(wanted.length + 1)
  })
})
