import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { open as openAge, preambleLength } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { sha256 } from '#shared/format/keys.ts'
import { decodeRecord, verifyRecord } from '#shared/format/record.ts'
import { verifyChain } from '#shared/format/signers.ts'
import type { BackupId } from '#shared/ids.ts'
import type { RestoreStart } from '#shared/protocol/restore-orders.ts'
import { openIdKey, openWithSealed } from '#shared/read/handed.ts'
import { must } from '../../../support/agent-plane.ts'
import {
  AMOUNTS,
  codeOf,
  letGo,
  numbersOf,
  partsOf,
  restoringAgent,
  type RestoringAgent,
  runOf,
  shown,
  startRestoring,
} from '../../../support/restoring.ts'
import type { Unsent } from '../../../support/scripted-agent.ts'
import {
  type ReadingWorld,
  readingWorld,
  storeVault,
  type StoredVault,
} from '../../../support/stored-vault.ts'
import { directory, file } from '../../../support/vault-place.ts'

let world: ReadingWorld
let parts: ReturnType<typeof partsOf>
let vault: StoredVault
let agent: RestoringAgent
let first: BackupId
let backup: BackupId

beforeAll(async () => {
  world = await readingWorld()
  parts = partsOf(world)
  vault = await storeVault(world, { packTarget: 8192, chunk: 4096 })
  first = (await vault.backup([file('/gone', 'x'.repeat(9000))])).id
  backup = (
    await vault.backup([
      directory('/data'),
      file('/data/one', 'one'.repeat(5000)),
      file('/data/two', 'two'.repeat(5000)),
    ])
  ).id
  agent = await restoringAgent(world, parts)
})
afterAll(async () => world.close())

const start = async (body: object = {}): Promise<RestoreStart> =>
  startRestoring(world, [parts, agent], [backup, body])

describe('a restore is offered with what the agent verifies by itself', () => {
  let order: RestoreStart
  beforeAll(async () => {
    order = await start({ conflict: 'overwrite', target_path: '/srv/x' })
  })
  afterAll(async () => letGo(world, agent, order.run))

  test('the chain, the record and its key', async () => {
    expect(order).toMatchObject({
      backup,
      vault: vault.vault,
      opening: order.run,
      selection_pages: 0,
      target: '/srv/x',
      conflict: 'overwrite',
      job_name: `job ${vault.job}`,
      backup_name: 'backup 2',
    })
    const chain = verifyChain(Buffer.from(order.signers[0]!, 'base64url'), [])
    expect(chain.fingerprint).toBe(vault.writer.fingerprint)
    const answer = await fetch(order.record.url)
    const bytes = new Uint8Array(await answer.arrayBuffer())
    expect(bytes).toHaveLength(order.record.size)
    expect(toBase64url(sha256(bytes))).toBe(order.record.sha256)
    const opener = { secret: agent.secret, opening: order.opening }
    const sealed = Buffer.from(order.record.sealed_file_key, 'base64url')
    openWithSealed(opener, { what: 'record', sealed }, bytes)
    const decoded = decodeRecord(openAge(bytes, [vault.writer.list]))
    verifyRecord(decoded, chain, backup)
  })

  test('the id key, and nothing more of the vault secret', () => {
    const opener = { secret: agent.secret, opening: order.opening }
    const idKey = openIdKey(opener, Buffer.from(order.sealed_id_key, 'base64url'))
    expect(idKey).toEqual(vault.writer.idKey)
  })

  test('every object of the backup opens with the key that is sealed for it, and for nothing else', async () => {
    const wanted = await numbersOf(world, backup)
    expect(new Set(wanted.map(({ kind }) => kind))).toEqual(new Set(['pack', 'tree']))
    const nos = wanted.map(({ no }) => no).reverse()
    const report = { type: 'packs.request', ...runOf(order), packs: nos } as const
    const { packs } = must(await agent.ask(report), 'packs.opened')
    expect(packs.map(({ no }) => no)).toEqual(nos)
    const opener = { secret: agent.secret, opening: order.opening }
    for (const pack of packs) {
      const bytes = vault.writer.objects.get(pack.key)!
      expect(pack.size).toBe(bytes.length)
      const sealed = Buffer.from(pack.sealed_file_key, 'base64url')
      openWithSealed(opener, { what: pack.no, sealed }, bytes)
      expect(() => openWithSealed(opener, { what: pack.no + 1, sealed }, bytes)).toThrow()
      const answer = await fetch(pack.url, { headers: { range: 'bytes=0-99' } })
      expect(Buffer.from(await answer.arrayBuffer())).toEqual(Buffer.from(bytes.subarray(0, 100)))
      const header = Buffer.from(pack.header, 'base64url')
      expect(header).toEqual(Buffer.from(bytes.subarray(0, preambleLength(bytes))))
    }
    expect(JSON.stringify(packs)).not.toContain('AGE-SECRET-KEY')
  })

  test('no key, no URL stands in the log', () => {
    const text = JSON.stringify(parts.log.lines)
    for (const word of ['X-Amz-Signature', 'AGE-SECRET', order.sealed_id_key, order.record.url])
      expect(text).not.toContain(word)
  })
})

describe('an agent that asks for more than is its own', () => {
  let order: RestoreStart
  beforeAll(async () => {
    order = await start()
  })
  afterAll(async () => letGo(world, agent, order.run))

  test('gets nothing of another backup of the same vault, and nothing with it', async () => {
    const own = new Set((await numbersOf(world, backup)).map(({ no }) => no))
    const [foreign] = (await numbersOf(world, first)).filter(({ no }) => !own.has(no))
    const asked = [...own].slice(0, 1)
    for (const packs of [[foreign!.no], [...asked, foreign!.no], [1], [2 ** 50]]) {
      const answer = await agent.ask({ type: 'packs.request', ...runOf(order), packs })
      expect(codeOf(answer)).toBe('MISSING_OBJECT')
    }
  })

  test('gets nothing under an old epoch, and nothing of another server', async () => {
    const other = await restoringAgent(world, parts)
    const [pack] = await numbersOf(world, backup)
    const reports = (run: { run: string; epoch: number }): Unsent[] => [
      { type: 'packs.request', ...run, packs: [pack!.no] },
      { type: 'selection.request', ...run, page: 0 },
      { type: 'restore.accepted', ...run },
      { type: 'restore.noted', ...run, files: [] },
      { type: 'restore.finish', ...run, status: 'completed', ...AMOUNTS },
      { type: 'log', ...run, level: 'info', message: 'x' },
    ]
    for (const report of reports(runOf(order)))
      expect(codeOf(await other.ask(report))).toBe('RESOURCE_NOT_FOUND')
    for (const report of reports({ run: order.run, epoch: order.epoch - 1 }))
      expect(codeOf(await agent.ask(report))).toBe('LEASE_LOST')
    expect(await shown(world, order.run)).toMatchObject({ status: 'running' })
  })

  test('cannot speak of a restore as of a backup, nor the other way round', async () => {
    for (const report of [
      { type: 'backup.accepted', ...runOf(order) },
      { type: 'numbers.request', ...runOf(order), count: 1 },
    ] as const)
      expect(codeOf(await agent.ask(report))).toBe('RESOURCE_NOT_FOUND')
  })
})

describe('what is wanted', () => {
  test('comes page by page', async () => {
    const files = Array.from({ length: 1500 }, (_, i) => `/data/${i}`)
    const order = await start({ files: [...files, '/data/*.log'] })
    expect(order.selection_pages).toBe(2)
    const wanted: unknown[] = []
    for (const page of [0, 1]) {
      const answer = await agent.ask({ type: 'selection.request', ...runOf(order), page })
      wanted.push(...must(answer, 'selection.given').wanted)
    }
    expect(wanted).toEqual([
      ...files.map((path) => ({ raw: Buffer.from(path).toString('base64url'), glob: false })),
      { raw: Buffer.from('/data/*.log').toString('base64url'), glob: true },
    ])
    const none = await agent.ask({ type: 'selection.request', ...runOf(order), page: 2 })
    expect(codeOf(none)).toBe('PROTOCOL_VIOLATION')
    await letGo(world, agent, order.run)
  })
})
